"""Selections: layers each of whose outputs is one of their inputs, chosen by place alone.

They round nothing, keep every order and are 1-Lipschitz in l_inf: the layer is its own rule.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import Rounded, forward_error, interval


def enter_selection(kind: type[nn.Module]) -> None:
    """Enter the interval and forward-error rules of a layer that only picks inputs."""

    @interval.register(kind)
    def _(layer: nn.Module, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
        return layer(lower), layer(upper)

    @forward_error.register(kind)
    def _(layer: nn.Module, x: Rounded, unit: float) -> Rounded:
        return x.after(layer(x.value), layer(x.error.expand_as(x.value)), 0)
