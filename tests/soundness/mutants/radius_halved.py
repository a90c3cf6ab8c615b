"""The radius of an affine layer's interval is halved, as if the box were the ball's diameter."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

PITFALL = 5
HUNTS = ("layers", "border_interval")


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Affine.radius
    patch.setattr(Affine, "radius", lambda layer, radius: original(layer, radius) / 2)
