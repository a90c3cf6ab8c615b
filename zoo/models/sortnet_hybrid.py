"""SortNet with an MLP head ("SortNet+MLP").

Zhang et al. 2022, arXiv:2210.01787.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Unpack

from torch import nn

from zoo.layers import SortDistLinear
from zoo.models.headed import HeadedNet, mlp_head
from zoo.models.net import Images, bounded_by_layers, default_configs, enter_architectures
from zoo.models.sortnet import sort_layers


@bounded_by_layers
class SortNetHybrid(HeadedNet):
    """logits = head((sort_depth o ... o sort_2 o dist_1)(x)), layers as in SortNetMLP.

    In training a MeanShift comes behind each distance layer; `folded`, they have biases instead.

    Args:
        depth: number of distance layers.
        width: units in each of them, so the number of features.
        head_width: units in the head's hidden layer.
        images: see zoo.models.net.Images.
        rho, k, keep, identity: see SortNetMLP.
    """

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        head_width: int = 512,
        rho: float = 0.3,
        k: int = 10,
        keep: float | None = None,
        identity: bool = False,
        **images: Unpack[Images],
    ):
        sizes = {"depth": depth, "width": width, "head_width": head_width}
        sizes |= {"rho": float(rho), "k": k, "keep": keep, "identity": identity}
        super().__init__(sizes, **images)
        self.num_features = width
        sort = partial(SortDistLinear, rho=rho, k=k, keep=keep)
        num_in = math.prod(self.input_shape)
        hidden = sort_layers(num_in, width, depth, sort, folded=self.folded, identity=identity)
        head = mlp_head(width, head_width, self.num_classes, folded=self.folded)
        self.build({"flatten": nn.Flatten(), **hidden, "head": head})


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"sortnet_hybrid{depth}" for depth in _DEPTHS)
_ABOUT = "SortNet of {} layers with an MLP head (Zhang et al. 2022)."
globals().update(enter_architectures(SortNetHybrid, "sortnet_hybrid", _DEPTHS, _ABOUT))
