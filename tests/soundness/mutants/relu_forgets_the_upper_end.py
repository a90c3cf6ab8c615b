"""ReLU is applied to the lower end only."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import rule
from zoo.rules import interval

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        return lower.clamp_min(0), upper

    rule(patch, interval, nn.ReLU, planted)
