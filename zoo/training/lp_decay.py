"""Weight decay of distance layers: towards smaller l_p norms of a neuron's weights.

Shapes: O out features, I in features.
"""

from __future__ import annotations

import math

import torch
from einops import reduce
from torch import Tensor, nn

from zoo.layers import LpDist


@torch.no_grad()
def lp_decay_(model: nn.Module, amount: float) -> None:
    """w_ij -= amount * (|w_ij| / ||w_i||_p)^(p - 2) * w_ij in every distance layer, at its own p.

    A step along the gradient of ||w_i||_p^2 / 2 (Zhang et al. 2021, arXiv:2102.05363, Section 5.3);
    ordinary decay at p = 2. At p = inf the largest weight of a neuron shrinks, and no other.

    Args:
        amount: learning rate times weight decay.
    """
    for layer in model.modules():
        if isinstance(layer, LpDist):
            weight_OI = layer.weight_OI
            decay_OI = amount * _share(weight_OI, layer.p) * weight_OI
            layer.weight.sub_(decay_OI.view_as(layer.weight))


def _share(weight_OI: Tensor, p: float) -> Tensor:
    """(|w_ij| / ||w_i||_p)^(p - 2), without a power that overflows."""
    largest_O1 = reduce(weight_OI.abs(), "o i -> o 1", "max").clamp_min(1e-30)
    ratio_OI = weight_OI.abs() / largest_O1
    if math.isinf(p):
        return (ratio_OI == 1).to(weight_OI)
    norm_O1 = reduce(ratio_OI**p, "o i -> o 1", "sum").clamp_min(1e-30) ** (1 / p)
    return (ratio_OI / norm_O1) ** (p - 2)
