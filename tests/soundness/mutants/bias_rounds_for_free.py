"""Adding the bias of a distance layer is taken for exact."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import LpDistLinear
from zoo.rules import forward_error

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = forward_error._table[LpDistLinear]

    def planted(layer, x, unit):
        found = original(layer, x, unit)
        if layer.bias is None:
            return found
        return x.after(found.value, found.error - unit * found.value.double().abs(), 1)

    rule(patch, forward_error, LpDistLinear, planted)
