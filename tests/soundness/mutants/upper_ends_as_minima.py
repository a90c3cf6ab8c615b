"""The smaller of a pair has the smaller of its lower ends for both of its ends."""

from __future__ import annotations

import pytest
import torch

from soundness.planting import rule
from zoo.layers import MaxMin
from zoo.rules import interval

PITFALL = 12
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        low, high = layer(lower), layer(upper)
        smaller = torch.arange(high.shape[-1]) % 2 > 0
        return low, torch.where(smaller, low, high)

    rule(patch, interval, MaxMin, planted)
