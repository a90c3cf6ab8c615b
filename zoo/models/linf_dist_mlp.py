"""l_inf-distance nets: fully connected, 1-Lipschitz by construction.

Zhang et al. 2021, arXiv:2102.05363; training by arXiv:2110.06850.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import nn

from zoo.architectures import check_values
from zoo.errors import UsageError
from zoo.layers import LpDistLinear, MeanShift, Negate, PrunedLinfDistLinear
from zoo.models.net import Images, Net, bounded_by_layers, default_configs, enter_architectures
from zoo.models.stem import stem as features_of


@bounded_by_layers
class LinfDistMLP(Net):
    """logits = -(dist_depth o ... o dist_1)(x), every dist_l an LpDistLinear.

    In training a Normalize comes first and a MeanShift behind each hidden layer; `folded`, both are
    absorbed into weights and biases (see zoo.models.fold) and the net takes raw pixels.

    Args:
        depth: number of distance layers, the output layer included.
        width: units in each hidden layer.
        images: see zoo.models.net.Images.
        stem: features that the first layer sees (see zoo.models.stem); None: the pixels.
        edges: number of edges of each layer of a pruned net (see zoo.models.prune); it is folded.
    """

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        edges: Sequence[int] | None = None,
        stem: Sequence[str] | None = None,
        **images: Unpack[Images],
    ):
        check_values({} if stem is None else {"stem": stem})
        sizes = {
            "depth": depth,
            "width": width,
            "edges": None if edges is None else list(edges),
            "stem": None if stem is None else list(stem),
        }
        super().__init__(sizes, **images)
        if edges is not None and (not self.folded or len(edges) != depth or min(edges) < 1):
            raise UsageError(
                f"LinfDistMLP: edges are those of the {depth} layers of a folded net, "
                f"got edges={list(edges)}, folded={self.folded}"
            )
        self.num_features = width
        first = nn.Flatten() if stem is None else features_of(stem, self.input_shape[0])
        layers: dict[str, nn.Module] = {"flatten": first}
        num_in = math.prod(self.input_shape)
        if stem is not None:
            num_in = first(torch.zeros(1, *self.input_shape)).shape[1]
        for i in range(1, depth + 1):
            last = i == depth
            num_out = self.num_classes if last else width
            if edges is not None:
                layers[f"dist{i}"] = PrunedLinfDistLinear(num_in, num_out, edges[i - 1])
            else:
                bias = self.folded or last
                layers[f"dist{i}"] = LpDistLinear(num_in, num_out, bias=bias, identity=not last)
            if not (self.folded or last):
                layers[f"shift{i}"] = MeanShift(width)
            num_in = width
        self.build({**layers, "negate": Negate()})


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"linf_dist_mlp{depth}" for depth in _DEPTHS)
_ABOUT = "l_inf-distance net of {} layers (Zhang et al. 2021)."
globals().update(enter_architectures(LinfDistMLP, "linf_dist_mlp", _DEPTHS, _ABOUT))
