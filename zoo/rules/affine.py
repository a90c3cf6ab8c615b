"""Rules of torch's own affine layers, Linear and Conv2d.

Shapes: tensors have the shape of the layer's input or output; B batch, I features.
"""

from __future__ import annotations

import platform

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Affine, Ends, Reading
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
