"""The smallest distance is taken at the middle of the box, when a weight lies inside it is 0."""

from __future__ import annotations

import pytest
import torch

import zoo.layers.lp_dist as lp_dist
from zoo.ops import linf_dist_bounds
from zoo.ops import lp_dist as distance

PITFALL = 12
HUNTS = ("layers", "border_interval")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(lower, upper, weight):
        _, far = linf_dist_bounds(lower, upper, weight)
        return distance((lower + upper) / 2, weight, torch.inf), far

    patch.setattr(lp_dist, "linf_dist_bounds", planted)
