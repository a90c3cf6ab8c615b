"""Contracted rows are rounded to nearest when they are stored, and their sums end above 1."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.rounding import contracted

PITFALL = 5
HUNTS = ("arithmetic",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(weight_OI, dtype):
        wide = weight_OI.detach().double()
        return (wide / wide.abs().sum(1, keepdim=True).clamp_min(1)).to(dtype)

    everywhere(patch, contracted, planted)
