"""A negative weight of an order statistic is taken: the neuron falls where a distance grows."""

from __future__ import annotations

import pytest
from torch import nn

from soundness.planting import checked_as
from zoo.layers import SortDistLinear
from zoo.rules import check_certifiable

PITFALL = None
HUNTS = ("guards",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def repair(net: nn.Module) -> None:
        for layer in net.modules():
            if isinstance(layer, SortDistLinear):
                layer.order_K.abs_()

    checked_as(patch, check_certifiable, repair)
