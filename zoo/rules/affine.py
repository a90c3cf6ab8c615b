"""Rules of torch's own affine layers, Linear and Conv2d.

Shapes: tensors have the shape of the layer's input or output; B batch, I features.
"""

from __future__ import annotations

import math
import platform

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Affine, Ends, Reading, deployed_error, row_norms
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval
from zoo.rules.margins import elided

_WINOGRAD = platform.machine() not in ("x86_64", "AMD64")


def _affine(layer: nn.Linear) -> Affine:
    return Affine(F.linear, layer.weight, layer.bias, layer.weight.shape[1])


@interval.register(nn.Linear)
def _(layer: nn.Linear, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return reading.affine(_affine(layer), lower, upper)


@elided.register(nn.Linear)
def _(
    layer: nn.Linear, lower_BI: Tensor, upper_BI: Tensor, y_B: Tensor, reading: Reading = NAIVE
) -> Tensor:
    return reading.elided(_affine(layer), lower_BI, upper_BI, y_B)


@interval.register(nn.Conv2d)
def _(layer: nn.Conv2d, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    if layer.padding_mode != "zeros":
        raise UsageError(f"Conv2d has no interval rule for padding_mode={layer.padding_mode!r}")
    # SOUND: there, torch convolves depthwise by Winograd's algorithm, which no slack here covers.
    if _WINOGRAD and layer.groups > 1 and layer.weight.shape[1:] == (1, 3, 3):
        raise UsageError("a depthwise 3 x 3 Conv2d has no interval rule on this kind of CPU")

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    bias = None if layer.bias is None else rearrange(layer.bias, "c -> c 1 1")
    num_terms = layer.weight[0].numel()
    return reading.affine(Affine(product, layer.weight, bias, num_terms), lower, upper)


@forward_error.register(nn.Linear)
def _(layer: nn.Linear, x: Rounded, unit: float) -> Rounded:
    affine = Affine(F.linear, layer.weight, layer.bias, layer.weight.shape[1])
    # SOUND: gains multiply up to the constant that certifies, so none may be rounded down.
    gain = row_norms(layer.weight).max().item()
    if gain == math.inf:
        raise UsageError("a Linear has weights so large that the norm of a row overflows")
    return affine_error(affine, layer(x.value), x, gain)


def affine_error(affine: Affine, y: Tensor, x: Rounded, gain: float) -> Rounded:
    """The state after y = W x + b: |W| times the error so far, and what any order of sums adds.

    Args:
        gain: of the exact layer, the largest sum of |w| in a row.
    """
    wide, size = affine.to(torch.float64), x.value.double().abs()
    own = deployed_error(affine.num_terms, wide.magnitude(size), y.dtype)
    error = wide.radius(x.error.expand_as(x.value).double()) + own
    return x.after(y, error, math.ceil(1.01 * (affine.num_terms + 1)), gain)
