"""The last linear layer is elided, and a ReLU behind it passed over."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import rule
from zoo.rounding import NAIVE
from zoo.rules import elided

PITFALL = None
HUNTS = ("heads",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = elided._table[nn.Sequential]

    def planted(layer, lower, upper, y_B, reading=NAIVE):
        if len(layer) > 1 and type(layer[-1]) is nn.ReLU:
            layer = layer[:-1]
        return original(layer, lower, upper, y_B, reading)

    rule(patch, elided, nn.Sequential, planted)
