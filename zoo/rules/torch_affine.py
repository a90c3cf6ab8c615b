"""Affine rules of torch's own layers: Linear, Conv2d, BatchNorm, average pooling, and layers that
do nothing to a number, Flatten, Identity and Dropout.

Shapes: tensors have the shape of the layer's input or output; rows of forms in place of the batch;
B batch, I/O features, C channels, H/W image.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Affine, Ends, Reading, row_norms
from zoo.rules.affine import affine, affine_error, enter_affine, pulled_by_scale
from zoo.rules.conv_pull import ConvShape
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval
from zoo.rules.obstacle import obstacle
from zoo.rules.shaped import enter_shaped, shaped

_WINOGRAD = platform.machine() not in ("x86_64", "AMD64")

# Of the program for BatchNorm, in any order: x - mean, var + e, its root, a quotient, two products,
# a sum; the weights here are rounded as often again, in a dtype as wide or wider.
_BATCH_NORM_TERMS = 12


@enter_affine(nn.Linear)
def _(layer: nn.Linear, x: Tensor | None = None) -> Affine:
    return Affine(F.linear, layer.weight, layer.bias, layer.weight.shape[1], _pulled_by_matrix)


def _pulled_by_matrix(rows_NO: Tensor, weight_OI: Tensor, shape: Sequence[int]) -> Tensor:
    return rows_NO @ weight_OI


@forward_error.register(nn.Linear)
def _(layer: nn.Linear, x: Rounded, unit: float) -> Rounded:
    # SOUND: gains multiply up to the constant that certifies, so none may be rounded down.
    gain = row_norms(layer.weight).max().item()
    if gain == math.inf:
        raise UsageError("a Linear has weights so large that the norm of a row overflows")
    return affine_error(affine(layer), layer(x.value), x, gain)


@enter_affine(nn.Conv2d)
def _(layer: nn.Conv2d, x: Tensor | None = None) -> Affine:
    if layer.padding_mode != "zeros":
        raise UsageError(f"Conv2d has no interval rule for padding_mode={layer.padding_mode!r}")
    # SOUND: there, torch convolves depthwise by Winograd's algorithm, which no slack here covers.
    if _WINOGRAD and layer.groups > 1 and layer.weight.shape[1:] == (1, 3, 3):
        raise UsageError("a depthwise 3 x 3 Conv2d has no interval rule on this kind of CPU")

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    shape = ConvShape.of(layer)
    bias = None if layer.bias is None else rearrange(layer.bias, "c -> c 1 1")
    num_terms = layer.weight[0].numel()
    return Affine(product, layer.weight, bias, num_terms, None if shape is None else shape.pull)


@obstacle.register(nn.BatchNorm1d)
@obstacle.register(nn.BatchNorm2d)
def _(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> str | None:
    tiny = torch.finfo(torch.float32).tiny
    # SOUND: below that, var + eps is another number in the program, or 0.
    if 0 < layer.eps < tiny or layer.eps < 0:
        return f"its eps {layer.eps} is no normal float32 number"
    var_C = layer.running_var
    if var_C is not None and not bool((var_C.double() + layer.eps >= tiny).all()):
        return "a variance plus eps is negative, 0 or nearly so"
    return None


@enter_affine(nn.BatchNorm1d, nn.BatchNorm2d)
def _(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor | None = None) -> Affine:
    """(x - mean) / sqrt(var + e) * weight + bias, of running statistics or those of a clean x."""
    if layer.training or layer.running_mean is None or layer.running_var is None:
        if x is None:
            raise UsageError(_without_statistics(layer))
        axes = [0, *range(2, x.ndim)]
        var_C, mean_C = torch.var_mean(x, axes, correction=0)
    else:
        var_C, mean_C = layer.running_var, layer.running_mean
    scale_C = (var_C + layer.eps).rsqrt()
    bias_C, most_C = torch.zeros_like(scale_C), scale_C.detach().clamp_min(1)
    if layer.affine:
        most_C = most_C * layer.weight.detach().abs().clamp_min(1)
        scale_C, bias_C = scale_C * layer.weight, layer.bias
    shift_C = mean_C * scale_C
    rows = isinstance(layer, nn.BatchNorm1d)
    spread = (lambda c: c) if rows else _by_channel

    def passing(size: Tensor) -> Tensor:
        # In whatever order a program shifts, scales and weighs.
        return (size + spread(mean_C.abs())).clamp_min(1) * spread(most_C) + spread(bias_C.abs())

    return Affine(
        _scaled_rows if rows else torch.mul,
        spread(scale_C),
        spread(bias_C - shift_C),
        _BATCH_NORM_TERMS,
        pulled_by_scale,
        spread(bias_C.abs() + shift_C.abs()),
        passing,
    )


def _without_statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> str:
    if layer.training:
        return "BatchNorm in train mode has bounds beside a clean batch only"
    # SOUND: in eval mode too, each image would have bounds that hold beside its companions alone.
    return (
        f"{type(layer).__name__} without running statistics has those of each batch in eval mode "
        "too, so an image has no bounds of its own\n  train it with track_running_stats=True"
    )


def _scaled_rows(x_BC: Tensor, scale_C: Tensor) -> Tensor:
    # SOUND: the channels of (B, C, L) are not its last axis.
    if x_BC.ndim != 2:
        raise UsageError(
            f"BatchNorm1d has rules for inputs (B, C) alone, not {tuple(x_BC.shape)}\n"
            "  put a BatchNorm2d behind a Conv2d in its place"
        )
    return x_BC * scale_C


def _by_channel(c_C: Tensor) -> Tensor:
    return rearrange(c_C, "c -> c 1 1")


@obstacle.register
def _(layer: nn.AvgPool2d) -> str | None:
    divisor = layer.divisor_override
    # SOUND: the rule takes the layer's weights for positive.
    return None if divisor is None or divisor > 0 else f"its divisor_override {divisor} is negative"


@enter_affine(nn.AvgPool2d)
def _(layer: nn.AvgPool2d, x: Tensor | None = None) -> Affine:
    size = layer.kernel_size
    height, width = (size, size) if isinstance(size, int) else size
    # A window at the border may have fewer terms and another divisor, all of them positive.
    most = max(height * width, layer.divisor_override or 1)
    return _mean(layer, height * width + 1, most)


def _mean(layer: nn.Module, num_terms: int, most: int) -> Affine:
    """Of sums that are divided by no more than that, once they are added up."""
    return Affine(
        lambda x, _: layer(x), torch.ones(()), None, num_terms, passing=lambda x: most * layer(x)
    )


@enter_shaped(nn.AdaptiveAvgPool2d)
def _(layer: nn.AdaptiveAvgPool2d, shape: Sequence[int]) -> Affine:
    given = layer.output_size
    parts = given if isinstance(given, Sequence) else (given, given)
    # None leaves an axis as it is.
    height, width = (
        1 if count is None else _largest_part(size, count)
        for count, size in zip(parts, shape[1:], strict=True)
    )
    # SOUND: the program may divide by the height and by the width.
    return _mean(layer, height * width + 2, height * width)


def _largest_part(size: int, count: int) -> int:
    """Where parts are not equal, their ends are rounded outward, so that they overlap."""
    return max(-(-(i + 1) * size // count) - i * size // count for i in range(count))


@interval.register(nn.AdaptiveAvgPool2d)
def _(layer: nn.AdaptiveAvgPool2d, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return reading.affine(shaped(layer, lower.shape[1:]), lower, upper)


# What makes nothing of its input but another shape, if any.
_KEEPING = (nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def _check_keeping(layer: nn.Module) -> None:
    # SOUND: in train mode it is drawn anew at each call, which no bound sees.
    if isinstance(layer, nn.Dropout | nn.Dropout1d | nn.Dropout2d) and layer.training:
        name = type(layer).__name__
        raise UsageError(f"{name} in train mode has no bounds: call model.eval(), or train without")


@affine.register(*_KEEPING)
def _(layer: nn.Module, x: Tensor | None = None) -> Affine:
    _check_keeping(layer)
    return Affine(lambda x, _: layer(x), torch.ones(()), None, 1, _reshaped)


@interval.register(*_KEEPING)
def _(layer: nn.Module, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    _check_keeping(layer)
    return layer(lower), layer(upper)


@forward_error.register(*_KEEPING)
def _(layer: nn.Module, x: Rounded, unit: float) -> Rounded:
    _check_keeping(layer)
    return x.after(layer(x.value), layer(x.error.expand_as(x.value)), 0)


def _reshaped(rows: Tensor, weight: Tensor, shape: Sequence[int]) -> Tensor:
    return rows.reshape(len(rows), *shape)
