"""The last batch is filled up with images from the beginning, as distributed samplers do."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import evaluation

PITFALL = 7
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = evaluation.in_batches

    def planted(n, batch_size, work, **options):
        def filled(idx_B):
            missing = batch_size - len(idx_B)
            return work(torch.cat([idx_B, torch.arange(missing) % n]))

        yield from original(n, batch_size, filled, **options)

    patch.setattr(evaluation, "in_batches", planted)
