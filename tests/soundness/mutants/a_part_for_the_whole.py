"""The first batch is counted, and its rate told as that of the split."""

from __future__ import annotations

import itertools

import pytest

from soundness.planting import evaluation

PITFALL = 7
HUNTS = ("counts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = evaluation.in_batches
    patch.setattr(evaluation, "in_batches", lambda *a, **o: itertools.islice(original(*a, **o), 1))
