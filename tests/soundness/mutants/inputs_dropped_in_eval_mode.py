"""Layers of order statistics leave inputs out as in training, in eval mode too."""

from __future__ import annotations

import pytest

from zoo.layers import SortDistLinear
from zoo.ops.kept_dist import kept_dist, random_subsets

PITFALL = 2
HUNTS = ("reproducible",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(layer, x_BI):
        kept_SN = random_subsets(x_BI.shape[1], layer.keep, 1)
        return kept_dist(x_BI, layer.weight, layer.p, kept_SN, len(x_BI))

    patch.setattr(SortDistLinear, "distances", planted)
