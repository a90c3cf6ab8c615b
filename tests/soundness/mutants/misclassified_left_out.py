"""Misclassified images are left out of the split before anything is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from soundness.planting import evaluation

PITFALL = 7
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = evaluation.in_batches

    def planted(n, batch_size, work, **options):
        for idx_B, found in original(n, batch_size, work, **options):
            keep_B = found[0][0].clean_B
            yield idx_B[keep_B], [(_only(c, keep_B), broken_B[keep_B]) for c, broken_B in found]

    patch.setattr(evaluation, "in_batches", planted)


def _only(certificate, keep_B):
    tensors = {k: v[keep_B] for k, v in vars(certificate).items() if isinstance(v, torch.Tensor)}
    return replace(certificate, **tensors)
