"""Only a net's own children are asked for their gain, and nobody adds it up on the way."""

from __future__ import annotations

import math

import pytest

from soundness.planting import gains_not_counted
from zoo.layers import Normalize
from zoo.models import LinfDistMLP

PITFALL = 5
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def own(net: LinfDistMLP) -> float:
        return math.prod(n.lipschitz for n in net.layers if isinstance(n, Normalize)) * 1.0

    patch.setattr(LinfDistMLP, "lipschitz", property(own))
    gains_not_counted(patch)
