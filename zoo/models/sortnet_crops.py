"""SortNet on four crops of an image, with one MLP head ("SortNet+MLP, 2x").

Zhang et al. 2022, arXiv:2210.01787.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

from zoo.errors import UsageError
from zoo.layers import Crops, Join, SortDistLinear
from zoo.models.headed import HeadedNet, mlp_head
from zoo.models.net import Images, bounded_by_layers, default_configs, enter_architectures
from zoo.models.sortnet import sort_layers

_STRIDE, _CROPS = 4, 4  # two rows and two columns of crops


@bounded_by_layers
class SortNetCrops(HeadedNet):
    """logits = head of (sort_depth o ... o sort_2 o dist_1)(crop), for all four crops at once.

    The crops are all of the image but 4 pixels a side. Distance layers share their weights between
    them, the head reads the features of all; otherwise as SortNetHybrid.

    Args:
        depth: number of distance layers.
        width: units in each of them; there are four times as many features.
        head_width: units in the head's hidden layer.
        images: see zoo.models.net.Images.
        rho, k, keep, identity: see SortNetMLP.

    Raises:
        UsageError: images without room for the crops.
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
        side = self.input_shape[1] - _STRIDE
        if side < 1:
            raise UsageError(f"SortNetCrops: images of side {side + _STRIDE} have no such crops")
        self.num_features = _CROPS * width
        # As many samples share their kept inputs as in nets that see an image once.
        sort = partial(SortDistLinear, rho=rho, k=k, keep=keep, sub_batch=_CROPS * 32)
        num_in = self.input_shape[0] * side**2
        hidden = sort_layers(num_in, width, depth, sort, folded=self.folded, identity=identity)
        head = mlp_head(self.num_features, head_width, self.num_classes, folded=self.folded)
        self.build({"crops": Crops(side, _STRIDE), **hidden, "join": Join(_CROPS), "head": head})


_DEPTHS = (5,)
default_cfgs = default_configs(f"sortnet_crops{depth}" for depth in _DEPTHS)
_ABOUT = "SortNet of {} layers on four crops, with an MLP head (Zhang et al. 2022)."
globals().update(enter_architectures(SortNetCrops, "sortnet_crops", _DEPTHS, _ABOUT))
