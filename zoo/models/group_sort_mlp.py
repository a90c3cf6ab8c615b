"""GroupSort nets: linear layers of l_inf gain 1 and sorted pairs, for contrast with distances.

Anil et al. 2019, arXiv:1811.05381.
"""

from __future__ import annotations

import math
from typing import Unpack

from torch import nn

from zoo.errors import UsageError
from zoo.layers import LinfLinear, MaxMin
from zoo.models.net import Images, Net, bounded_by_layers, default_configs, enter_architectures


@bounded_by_layers
class GroupSortMLP(Net):
    """logits = (V_depth o MaxMin o ... o MaxMin o V_1)(x), no row of any V_l above 1 in l_1 norm.

    In training a Normalize comes first and V_l is computed from free weights; `folded`, the net
    takes raw pixels and holds V_l itself (see zoo.models.fold).

    Args:
        depth: number of linear layers, the output layer included.
        width: units in each hidden layer, an even number.
        images: see zoo.models.net.Images.
    """

    def __init__(
        self,
        depth: int,
        width: int = 1024,
        **images: Unpack[Images],
    ):
        sizes = {"depth": depth, "width": width}
        super().__init__(sizes, **images)
        if width % 2:
            raise UsageError(f"GroupSortMLP sorts pairs: width must be even, got {width}")
        self.num_features = width
        layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
        kind = nn.Linear if self.folded else LinfLinear
        num_in = math.prod(self.input_shape)
        for i in range(1, depth):
            layers[f"linear{i}"] = kind(num_in, width)
            layers[f"sort{i}"] = MaxMin()
            num_in = width
        layers[f"linear{depth}"] = kind(num_in, self.num_classes)
        self.build(layers)


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"group_sort_mlp{depth}" for depth in _DEPTHS)
_ABOUT = "GroupSort net of {} layers of l_inf gain 1 (Anil et al. 2019)."
globals().update(enter_architectures(GroupSortMLP, "group_sort_mlp", _DEPTHS, _ABOUT))
