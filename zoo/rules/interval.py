"""Interval rule: the image of a box under one layer.

``interval(layer, lower, upper, widen=exact) -> (lower, upper)``: ends of the layer's outputs over
all inputs in [lower, upper]. Sound with `exact` for every input of the tensors' dtype and the
program as it runs; with `outward`, for every real input and the layer in exact arithmetic.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.rules.dispatch import Rule

Ends = tuple[Tensor, Tensor]
# Applied to (lower, upper) after every rounded operation.
Widen = Callable[[Tensor, Tensor], Ends]

interval: Rule[..., Ends] = Rule("interval")


def exact(lower: Tensor, upper: Tensor) -> Ends:
    """No widening: the interval of the program itself, whose roundings are monotone."""
    return lower, upper


def outward(lower: Tensor, upper: Tensor) -> Ends:
    """One unit in the last place outward: covers the real number behind one rounded operation."""
    infinity = torch.full((), math.inf, dtype=lower.dtype, device=lower.device)
    return torch.nextafter(lower, -infinity), torch.nextafter(upper, infinity)


@interval.register(nn.Sequential)
def _(layer: nn.Sequential, lower: Tensor, upper: Tensor, widen: Widen = exact) -> Ends:
    for child in layer:
        lower, upper = interval(child, lower, upper, widen)
    return lower, upper


@interval.register(nn.Flatten)
def _(layer: nn.Flatten, lower: Tensor, upper: Tensor, widen: Widen = exact) -> Ends:
    return layer(lower), layer(upper)
