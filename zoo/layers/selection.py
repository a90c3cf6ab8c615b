"""Selections: layers each of whose outputs is one of their inputs, chosen by place alone.

They round nothing, keep every order and are 1-Lipschitz in l_inf: the layer is its own rule.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.rounding import NAIVE, Affine, Ends, Reading
from zoo.rules import Rounded, affine, forward_error, interval


def enter_selection(kind: type[nn.Module]) -> None:
    """Enter the rules of a layer that only picks inputs of each image."""
    enter_regrouping(kind)

    @affine.register(kind)
    def _(layer: nn.Module, x: Tensor | None = None) -> Affine:
        return Affine(lambda x, _: layer(x), torch.ones(()), None, 1)


def enter_regrouping(kind: type[nn.Module]) -> None:
    """Those of a layer whose output may be of another batch: interval and forward error alone.

    Linear forms and symbols belong to an image, and would have to add up over what it becomes.
    """

    @interval.register(kind)
    def _(layer: nn.Module, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
        return layer(lower), layer(upper)

    @forward_error.register(kind)
    def _(layer: nn.Module, x: Rounded, unit: float) -> Rounded:
        return x.after(layer(x.value), layer(x.error.expand_as(x.value)), 0)
