"""The ends of means of an image's parts are rounded to nearest, as if they were exact."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import rule
from zoo.rules import interval

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        return layer(lower), layer(upper)

    rule(patch, interval, nn.AdaptiveAvgPool2d, planted)
