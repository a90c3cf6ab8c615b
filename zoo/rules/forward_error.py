"""Forward-error rule: how far one layer's computed output can be from its exact output.

``forward_error(layer, x, unit) -> Rounded``: run one layer in eval mode on ``x: Rounded`` and bound
its rounding error by |fl(a) - a| <= unit * |fl(a)| an operation; ``unit`` is the unit roundoff of
the dtype that x.value and the layer have (zoo.rounding.unit_roundoff).

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from zoo.rules.dispatch import Rule


@dataclass(frozen=True)
class Rounded:
    """A computed tensor with a bound on its distance from the exact one.

    Attributes:
        value: what the floating-point program computed.
        error: |value - exact| <= error, in float64, broadcastable to value.
        num_roundings: how many error terms of the form unit * |a computed tensor| went into error.
            A sum of n products and a bias counts as 1.01 (n + 1) of them, times |w| |x| + |b|.
        gain: l_inf Lipschitz constant of all that was done so far.
        growth: the same with gains below 1 counted as 1: how much larger numbers may have become.
    """

    value: Tensor
    error: Tensor
    num_roundings: int
    gain: Fraction = Fraction(1)
    growth: Fraction = Fraction(1)

    def after(
        self, value: Tensor, error: Tensor, num_roundings: int, gain: float | Fraction = 1
    ) -> Rounded:
        """The state after an operation that adds roundings to those so far, and has a gain."""
        own = Fraction(gain)
        count = self.num_roundings + num_roundings
        return Rounded(value, error, count, self.gain * own, self.growth * max(own, Fraction(1)))


forward_error: Rule[..., Rounded] = Rule("forward_error")
