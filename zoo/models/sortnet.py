"""SortNet: l_inf-distance nets whose neurons weigh order statistics (Zhang et al. 2022).

arXiv:2210.01787.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Unpack

from torch import nn

from zoo.errors import UsageError
from zoo.layers import LpDistLinear, MeanShift, Negate, SortDistLinear
from zoo.models.net import Images, Net, bounded_by_layers, default_configs, enter_architectures


@bounded_by_layers
class SortNetMLP(Net):
    """logits = -(sort_depth o ... o sort_2 o dist_1)(x), every sort_l a SortDistLinear.

    The first layer is an LpDistLinear, whose inputs are all kept in training. Normalize, MeanShift
    and `folded` as in LinfDistMLP, and layers of the same names, so that either net starts from the
    other's weights.

    Args:
        depth: number of distance layers, the output layer included.
        width: units in each hidden layer.
        images: see zoo.models.net.Images.
        rho, k, keep: see SortDistLinear.
        identity: start hidden layers as the identity (on MNIST; not on CIFAR-10 and larger data).
    """

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        rho: float = 0.15,
        k: int = 10,
        keep: float | None = None,
        identity: bool = False,
        **images: Unpack[Images],
    ):
        sizes = {"depth": depth, "width": width, "rho": float(rho), "k": k, "keep": keep}
        sizes["identity"] = identity
        super().__init__(sizes, **images)
        if depth < 2:
            raise UsageError(f"SortNetMLP: needs a depth of 2 or more, got {depth}")
        self.num_features = width
        sort = partial(SortDistLinear, rho=rho, k=k, keep=keep)
        num_in = math.prod(self.input_shape)
        hidden = sort_layers(num_in, width, depth - 1, sort, folded=self.folded, identity=identity)
        output = {f"dist{depth}": sort(width, self.num_classes, bias=True)}
        self.build({"flatten": nn.Flatten(), **hidden, **output, "negate": Negate()})


def sort_layers(
    num_in: int,
    width: int,
    depth: int,
    sort: Callable[..., SortDistLinear],
    *,
    folded: bool,
    identity: bool,
) -> dict[str, nn.Module]:
    """Hidden layers by name: a distance layer, whose inputs are all kept, and then `sort` layers.

    Each has a MeanShift behind it in training, and a bias if folded.
    """
    layers: dict[str, nn.Module] = {}
    for i in range(1, depth + 1):
        kind = LpDistLinear if i == 1 else sort
        layers[f"dist{i}"] = kind(num_in, width, bias=folded, identity=identity)
        if not folded:
            layers[f"shift{i}"] = MeanShift(width)
        num_in = width
    return layers


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"sortnet_mlp{depth}" for depth in _DEPTHS)
_ABOUT = "SortNet of {} layers (Zhang et al. 2022)."
globals().update(enter_architectures(SortNetMLP, "sortnet_mlp", _DEPTHS, _ABOUT))
