"""The interval of a scaled linear layer is that of its weights as they are stored."""

from __future__ import annotations

import pytest
from torch.nn import functional as F

from soundness.planting import rule
from zoo.layers import ScaledLinear
from zoo.rounding import NAIVE, Affine
from zoo.rules import interval

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=NAIVE):
        affine = Affine(F.linear, layer.weight, layer.bias, layer.weight.shape[1])
        return reading.affine(affine, lower, upper)

    rule(patch, interval, ScaledLinear, planted)
