"""Forward-error rule: how far one layer's computed output can be from its exact output.

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from torch import Tensor, nn

from zoo.errors import UsageError


@dataclass(frozen=True)
class Rounded:
    """A computed tensor with a bound on its distance from the exact one.

    Attributes:
        value: what the floating-point program computed.
        error: |value - exact| <= error, in float64, broadcastable to value.
        num_roundings: how many error terms of the form unit * |a computed tensor| went into error.
    """

    value: Tensor
    error: Tensor
    num_roundings: int

    def after(self, value: Tensor, error: Tensor, num_roundings: int) -> Rounded:
        """The state after an operation that adds roundings to those so far."""
        return Rounded(value, error, self.num_roundings + num_roundings)


# SOUND: covers a subnormal result that a kernel flushes to zero, once per operation.
FLUSH = 2.0**-125


@singledispatch
def forward_error(layer: nn.Module, x: Rounded, unit: float) -> Rounded:
    """Run one layer and bound its rounding error: |fl(a) - a| <= unit * |fl(a)| per operation.

    Args:
        layer: in eval mode.
        x: the layer's input.
        unit: unit roundoff of the dtype, 2**-24 for float32 and 2**-53 for float64.

    Raises:
        UsageError: no rule for this layer type.
    """
    raise UsageError(
        f"no forward-error rule for layer {type(layer).__name__}\n"
        "  add one beside the layer's class: @zoo.rules.forward_error.register"
    )


@forward_error.register
def _(layer: nn.Sequential, x: Rounded, unit: float) -> Rounded:
    for child in layer:
        x = forward_error(child, x, unit)
    return x


@forward_error.register
def _(layer: nn.Flatten, x: Rounded, unit: float) -> Rounded:
    return x.after(layer(x.value), layer(x.error.expand_as(x.value)), 0)
