"""The range of a sum of order statistics is that between the two outermost corners of a box."""

from __future__ import annotations

import pytest
import torch

import zoo.layers.sort_dist as sort_dist
from zoo.ops import order_dist

PITFALL = None
HUNTS = ("layers",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(lower_BI, upper_BI, w_OI, v_K):
        ends = order_dist(lower_BI, w_OI, v_K), order_dist(upper_BI, w_OI, v_K)
        return torch.minimum(*ends), torch.maximum(*ends)

    patch.setattr(sort_dist, "order_dist_bounds", planted)
