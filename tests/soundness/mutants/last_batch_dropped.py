"""A last batch that is not full is dropped, as loaders for training do."""

from __future__ import annotations

import pytest

from soundness.planting import evaluation

PITFALL = 7
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = evaluation.in_batches

    def planted(n, batch_size, work, **options):
        for idx_B, found in original(n, batch_size, work, **options):
            if len(idx_B) == min(batch_size, n):
                yield idx_B, found

    patch.setattr(evaluation, "in_batches", planted)
