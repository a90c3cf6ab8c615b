"""SortNet with an MLP head ("SortNet+MLP").

Zhang et al. 2022, arXiv:2210.01787.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from zoo.layers import SortDistLinear
from zoo.models.headed import HeadedNet, mlp_head
from zoo.models.net import bounded_by_layers, default_configs, enter_architectures
from zoo.models.sortnet import sort_layers


@bounded_by_layers
class SortNetHybrid(HeadedNet):
    """logits = head((sort_depth o ... o sort_2 o dist_1)(x)), layers as in SortNetMLP.

    In training a MeanShift comes behind each distance layer; `folded`, they have biases instead.

    Args:
        depth: number of distance layers.
        width: units in each of them, so the number of features.
        head_width: units in the head's hidden layer.
        num_classes, in_chans, img_size, mean, std, folded: see Net.
        rho, k, keep, identity: see SortNetMLP.
    """

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        head_width: int = 512,
        num_classes: int = 10,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 32,
        mean: float | Sequence[float] = 0.0,
        std: float = 1.0,
        folded: bool = False,
        rho: float = 0.3,
        k: int = 10,
        keep: float | None = None,
        identity: bool = False,
    ):
        sizes = {"depth": depth, "width": width, "head_width": head_width}
        sizes |= {"rho": float(rho), "k": k, "keep": keep, "identity": identity}
        super().__init__(sizes, num_classes, in_chans, img_size, mean, std, folded)
        self.num_features = width
        sort = partial(SortDistLinear, rho=rho, k=k, keep=keep)
        num_in = in_chans * self.input_shape[1] ** 2
        hidden = sort_layers(num_in, width, depth, sort, folded=folded, identity=identity)
        head = mlp_head(width, head_width, num_classes, folded=folded)
        self.build({"flatten": nn.Flatten(), **hidden, "head": head})


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"sortnet_hybrid{depth}" for depth in _DEPTHS)
_ABOUT = "SortNet of {} layers with an MLP head (Zhang et al. 2022)."
globals().update(enter_architectures(SortNetHybrid, "sortnet_hybrid", _DEPTHS, _ABOUT))
