"""W instead of |W| in the radius of an affine layer: parts of it cancel."""

from __future__ import annotations

import pytest

from zoo.rounding import Affine

PITFALL = None
HUNTS = ("layers", "border_interval")


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Affine, "radius", lambda layer, radius: layer.product(radius, layer.weight).abs())
