"""A distance layer counts its own rounding and forgets the error of its input."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.planting import rule
from zoo.layers import LpDistLinear
from zoo.rules import forward_error

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = forward_error._table[LpDistLinear]

    def planted(layer, x, unit):
        return original(layer, replace(x, error=0 * x.error), unit)

    rule(patch, forward_error, LpDistLinear, planted)
