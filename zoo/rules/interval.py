"""Interval rule: the image of a box under one layer.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch

import torch
from torch import Tensor, nn

from zoo.errors import UsageError

# Applied to (lower, upper) after every rounded operation.
Widen = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def exact(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """No widening: the interval of the floating-point program itself, whose roundings are monotone."""
    return lower, upper


def outward(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """One unit in the last place outward: covers the real number behind one rounded operation."""
    infinity = torch.full((), math.inf, dtype=lower.dtype, device=lower.device)
    return torch.nextafter(lower, -infinity), torch.nextafter(upper, infinity)


@singledispatch
def interval(
    layer: nn.Module, lower: Tensor, upper: Tensor, widen: Widen = exact
) -> tuple[Tensor, Tensor]:
    """Ends of the layer's outputs over all inputs in [lower, upper].

    Sound: with `exact`, for every input of the tensors' dtype and the program as it runs; with
    `outward`, for every real input and the layer in exact arithmetic.

    Raises:
        UsageError: no rule for this layer type.
    """
    raise UsageError(
        f"no interval rule for layer {type(layer).__name__}\n"
        "  add one beside the layer's class: @zoo.rules.interval.register"
    )


@interval.register
def _(layer: nn.Sequential, lower: Tensor, upper: Tensor, widen: Widen = exact):
    for child in layer:
        lower, upper = interval(child, lower, upper, widen)
    return lower, upper


@interval.register
def _(layer: nn.Flatten, lower: Tensor, upper: Tensor, widen: Widen = exact):
    return layer(lower), layer(upper)
