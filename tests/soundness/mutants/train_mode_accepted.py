"""A MeanShift centres by the batch that is certified: verdicts depend on the company."""

from __future__ import annotations

import pytest

import zoo.layers.mean_shift as mean_shift
from soundness.planting import checked_as
from zoo.rules import check_certifiable

PITFALL = 1
HUNTS = ("reproducible", "guards")


def plant(patch: pytest.MonkeyPatch) -> None:
    checked_as(patch, check_certifiable, lambda model: model.eval())
    patch.setattr(mean_shift, "_check_constant", lambda layer: None)
