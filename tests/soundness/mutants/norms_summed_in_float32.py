"""Norms of rows are summed in float32, whose rounding may hide what is above 1."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.rounding import row_norms

PITFALL = 5
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, row_norms, lambda weight_OI: weight_OI.detach().float().abs().sum(1).double())
