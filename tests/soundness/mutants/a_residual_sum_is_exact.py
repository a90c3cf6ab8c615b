"""The ends of a residual sum are rounded to nearest, as if its branches summed without error."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import Add
from zoo.rules import interval

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower_a, upper_a, lower_b, upper_b, reading=None):
        return lower_a + lower_b, upper_a + upper_b

    rule(patch, interval, Add, planted)
