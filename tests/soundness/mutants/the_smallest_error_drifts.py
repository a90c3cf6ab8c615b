"""The drift of a distance is that of its least uncertain coordinate, not of the most."""

from __future__ import annotations

import pytest
from einops import reduce

import zoo.layers.lp_dist as lp_dist

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x, pattern, how):
        return reduce(x, pattern, "min" if pattern == "n i -> n 1" else how)

    patch.setattr(lp_dist, "reduce", planted)
