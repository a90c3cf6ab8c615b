"""Weights of order statistics are taken for a mean, whatever they sum to."""

from __future__ import annotations

from fractions import Fraction

import pytest

from zoo.layers import SortDistLinear

PITFALL = 5
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SortDistLinear, "gain", property(lambda layer: Fraction(1)))
