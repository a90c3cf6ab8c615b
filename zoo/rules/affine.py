"""Interval rules of torch's own layers: Linear, Conv2d and ReLU.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Affine, Ends, Reading
from zoo.rules.interval import interval


@interval.register(nn.Linear)
def _(layer: nn.Linear, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    affine = Affine(F.linear, layer.weight, layer.bias, layer.in_features)
    return reading.affine(affine, lower, upper)


@interval.register(nn.Conv2d)
def _(layer: nn.Conv2d, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    if layer.padding_mode != "zeros":
        raise UsageError(f"Conv2d has no interval rule for padding_mode={layer.padding_mode!r}")

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    bias = None if layer.bias is None else rearrange(layer.bias, "c -> c 1 1")
    num_terms = layer.weight[0].numel()
    return reading.affine(Affine(product, layer.weight, bias, num_terms), lower, upper)


@interval.register(nn.ReLU)
def _(layer: nn.ReLU, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return lower.clamp_min(0), upper.clamp_min(0)  # exact
