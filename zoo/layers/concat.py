"""Concat: what several branches make of one input, side by side.

Shapes: dimension 1 holds features or channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.rounding import Ends, Reading, Zonotope
from zoo.rounding.backward import Ledger
from zoo.rules import (
    Pulled,
    Rounded,
    describe,
    drift,
    enclose,
    enter_expand,
    forward_error,
    interval,
)
from zoo.rules.describe import Description
from zoo.rules.expand import Add
from zoo.rules.pull import Relax, enter_linear


class SideBySide(nn.Module):
    """y = (x_1, x_2, ...) along dimension 1."""

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


class Concat(nn.Module):
    """y = (f_1(x), f_2(x), ...) along dimension 1; its gain is the largest of the branches'."""

    def __init__(self, branches: Iterable[nn.Module]):
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), SideBySide()

    def forward(self, x: Tensor) -> Tensor:
        return self.join(*(branch(x) for branch in self.branches))


@enter_expand(Concat)
def _(layer: Concat, add: Add, x: Any) -> Any:
    return add(layer.join, [add(branch, [x]) for branch in layer.branches])


@interval.register(SideBySide)
def _(layer: SideBySide, *ends_and_reading: Tensor | Reading) -> Ends:
    ends = [end for end in ends_and_reading if isinstance(end, Tensor)]  # exact in all readings
    return torch.cat(ends[::2], 1), torch.cat(ends[1::2], 1)


@enter_linear(SideBySide)
def _(
    layer: SideBySide, rows: Tensor, ends: Sequence[Ends], relax: Relax, ledger: Ledger
) -> Pulled:
    sizes = [lower.shape[1] for lower, _ in ends]
    return Pulled(rows.split(sizes, 2), rows.new_zeros(rows.shape[:2]))  # exact


@enclose.register(SideBySide)
def _(layer: SideBySide, zonotopes: Sequence[Zonotope], *_: object) -> Zonotope:
    return Zonotope.side_by_side(zonotopes)


@drift.register(SideBySide)
def _(
    layer: SideBySide, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    return torch.cat([*errors], 1)


@forward_error.register(SideBySide)
def _(layer: SideBySide, *found_and_unit: Any) -> Rounded:
    *found, _ = found_and_unit
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
