"""The box of a half-difference is that of lower ends and that of upper ends."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import HalfDifference
from zoo.rules import interval

PITFALL = 12
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        a, b = layer(lower), layer(upper)
        return a.minimum(b), a.maximum(b)

    rule(patch, interval, HalfDifference, planted)
