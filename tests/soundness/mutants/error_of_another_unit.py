"""The error of the largest input is not divided by std: a Normalize passes it on with gain 1."""

from __future__ import annotations

import pytest

from soundness.planting import rule
from zoo.layers import Normalize
from zoo.rules import forward_error

PITFALL = 5
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = forward_error._table[Normalize]

    def planted(layer, x, unit):
        found = original(layer, x, unit)
        return x.after(found.value, found.error - x.error * (layer.lipschitz - 1), 2)

    rule(patch, forward_error, Normalize, planted)
