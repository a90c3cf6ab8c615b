"""Convolutional l_inf-distance nets with an MLP head.

The convolutional net of the reference implementation of Zhang et al. 2021 (arXiv:2102.05363).
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from zoo.errors import UsageError
from zoo.layers import LpDistConv2d, LpDistLinear, MeanShift
from zoo.models.headed import HeadedNet, mlp_head
from zoo.models.net import Images, bounded_by_layers, default_configs, enter_architectures

_DOWN = 3  # the convolution that halves the image and doubles the channels


@bounded_by_layers
class LinfDistConv(HeadedNet):
    """logits = head(dist(flatten((conv_depth o ... o conv_1)(x)))).

    dist is an LpDistLinear, each conv an LpDistConv2d of 3 x 3 with a border of one pixel. In
    training a MeanShift comes behind each of them; `folded`, they have biases instead, and conv_1
    pads with the channels' means.

    Args:
        depth: number of convolutions, at least 3; the third halves the image.
        channels: of the first two convolutions; the others have twice as many.
        width: number of features.
        head_width: units in the head's hidden layer.
        images: see zoo.models.net.Images.
    """

    def __init__(
        self,
        depth: int,
        channels: int = 96,
        width: int = 1024,
        head_width: int = 512,
        **images: Unpack[Images],
    ):
        sizes = {"depth": depth, "channels": channels, "width": width, "head_width": head_width}
        super().__init__(sizes, **images)
        if depth < _DOWN:
            raise UsageError(f"LinfDistConv: depth must be at least {_DOWN}, got {depth}")
        self.num_features = width
        layers: dict[str, nn.Module] = {}
        num_in, side = self.input_shape[0], self.input_shape[1]
        for i in range(1, depth + 1):
            num_out, stride = channels if i < _DOWN else 2 * channels, 2 if i == _DOWN else 1
            layers[f"conv{i}"] = LpDistConv2d(
                num_in, num_out, 3, stride=stride, padding=1, bias=self.folded, identity=True
            )
            if not self.folded:
                layers[f"shift{i}"] = MeanShift(num_out)
            num_in, side = num_out, (side - 1) // stride + 1
        layers["flatten"] = nn.Flatten()
        layers["dist"] = LpDistLinear(num_in * side**2, width, bias=self.folded, identity=True)
        if not self.folded:
            layers["shift"] = MeanShift(width)
        head = mlp_head(width, head_width, self.num_classes, folded=self.folded)
        self.build({**layers, "head": head})


_DEPTHS = (5,)
default_cfgs = default_configs(f"linf_dist_conv{depth}" for depth in _DEPTHS)
_ABOUT = "l_inf-distance net of {} convolutions with an MLP head (Zhang et al. 2021)."
globals().update(enter_architectures(LinfDistConv, "linf_dist_conv", _DEPTHS, _ABOUT))
