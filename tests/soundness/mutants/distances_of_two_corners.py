"""The interval of a distance is spanned by its values at the box's two ends."""

from __future__ import annotations

import pytest
import torch

import zoo.layers.lp_dist as lp_dist
from zoo.ops import lp_dist as distance

PITFALL = 12
HUNTS = ("layers", "reference")


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(lower, upper, weight):
        ends = distance(lower, weight, torch.inf), distance(upper, weight, torch.inf)
        return torch.minimum(*ends), torch.maximum(*ends)

    patch.setattr(lp_dist, "linf_dist_bounds", planted)
