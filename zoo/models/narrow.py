"""Narrow: initial weights with which intervals keep their width from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from zoo.layers import Residual


@torch.no_grad()
def narrow_(net: nn.Module) -> None:
    """W ~ N(0, 2 pi / fan_in^2) for all weights but the last layer's (Shi et al. 2021).

    arXiv:2103.17047. The sizes of a row's weights then add up to 2 in the mean, so a layer doubles
    radii, and the ReLU behind it halves them where it cuts half of the interval off. With the
    usual deviations, of order fan_in^(-1/2), they grow with the root of fan_in at each layer.
    Where branches are added up, so are their radii: the last weights of each are halved.
    """
    for layer in _weighted(net)[:-1]:
        fan_in = layer.weight[0].numel()
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 * math.pi) / fan_in)
    for block in (layer for layer in net.modules() if isinstance(layer, Residual)):
        for branch in (block.body, block.skip):
            for layer in _weighted(branch)[-1:]:
                layer.weight /= 2


def _weighted(net: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def default_(net: nn.Module) -> None:
    """What torch's layers begin with."""


# By their names in recipes; zoo.architectures lists them without torch.
INITIALISERS: dict[str, Callable[[nn.Module], None]] = {"default": default_, "narrow": narrow_}
