"""Offsets of lines are taken for exact: what rounding took from them is not given back."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.relaxations import lines

PITFALL = None
HUNTS = ("relaxations",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(slopes, lower, upper, *, rigorous=False):
        return lines(slopes, lower, upper)

    everywhere(patch, lines, planted)
