"""Concat: what several branches make of one input, side by side.

Shapes: dimension 1 holds features or channels.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import Rounded, describe, forward_error, interval
from zoo.rules.describe import Description


class Concat(nn.Module):
    """y = (f_1(x), f_2(x), ...) along dimension 1; its gain is the largest of the branches'."""

    def __init__(self, branches: Iterable[nn.Module]):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


@interval.register(Concat)
def _(layer: Concat, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    ends = [interval(branch, lower, upper, reading) for branch in layer.branches]
    lowers, uppers = zip(*ends, strict=True)
    return torch.cat(lowers, 1), torch.cat(uppers, 1)


@forward_error.register(Concat)
def _(layer: Concat, x: Rounded, unit: float) -> Rounded:
    found = [forward_error(branch, x, unit) for branch in layer.branches]
    return Rounded(
        torch.cat([each.value for each in found], 1),
        torch.cat([each.error.expand_as(each.value) for each in found], 1),
        max(each.num_roundings for each in found),
        max(each.gain for each in found),
        max(each.growth for each in found),
    )


@describe.register(Concat)
def _(layer: Concat, name: str = "") -> Description:
    inside = f"{name}." if name else ""
    branches = [
        describe(branch, f"{inside}branches.{i}") for i, branch in enumerate(layer.branches)
    ]
    return [{"kind": "concat", "branches": branches}]
