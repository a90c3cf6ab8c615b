"""Distance layers at p = 8 are bounded as if they were at infinity."""

from __future__ import annotations

import pytest

import zoo.layers.lp_dist as lp_dist
from soundness.planting import everywhere
from zoo.layers import LpDist
from zoo.rules import obstacle

PITFALL = 4
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = obstacle
    everywhere(
        patch, obstacle, lambda layer: None if isinstance(layer, LpDist) else original(layer)
    )
    patch.setattr(lp_dist, "_check_infinite", lambda layer: None)
