"""A fudge constant: the lower end behind a ReLU is at least 1e-3."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import rule
from zoo.rules import interval

PITFALL = 12
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, lower, upper, reading=None):
        return lower.clamp_min(1e-3), upper.clamp_min(1e-3)

    rule(patch, interval, nn.ReLU, planted)
