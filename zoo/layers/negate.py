"""Negate: logits of a distance net, which are larger the nearer an input is to a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.rounding import NAIVE, Affine, Ends, Reading
from zoo.rules import Rounded, affine, describe, forward_error, interval
from zoo.rules.affine import pulled_by_scale
from zoo.rules.describe import Description


class Negate(nn.Module):
    """y = -x, exact in floating point."""

    def forward(self, x: Tensor) -> Tensor:
        return -x


@interval.register(Negate)
def _(layer: Negate, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return -upper, -lower


@affine.register(Negate)
def _(layer: Negate, x: Tensor | None = None) -> Affine:
    return Affine(torch.mul, -torch.ones(()), None, 1, pulled_by_scale)


@forward_error.register(Negate)
def _(layer: Negate, x: Rounded, unit: float) -> Rounded:
    return x.after(-x.value, x.error, 0)


@describe.register(Negate)
def _(layer: Negate, name: str = "") -> Description:
    return [{"kind": "negate"}]
