"""A sum of order statistics drifts by its least uncertain entry."""

from __future__ import annotations

import pytest
from einops import reduce

import zoo.layers.sort_dist as sort_dist

PITFALL = None
HUNTS = ("backward",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(x, pattern, how):
        return reduce(x, pattern, "min")

    patch.setattr(sort_dist, "reduce", planted)
