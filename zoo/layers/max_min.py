"""MaxMin: neighbouring features sorted in pairs, an activation that keeps every gradient's size.

Shapes: G pairs of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import (
    Picks,
    Rounded,
    describe,
    drift,
    enter_picks,
    forward_error,
    interval,
    largest_entries,
)
from zoo.rules.describe import Description


class MaxMin(nn.Module):
    """(a, b) -> (max(a, b), min(a, b)) for each pair of neighbouring features.

    GroupSort with groups of 2 (Anil et al. 2019, arXiv:1811.05381, §4.1): a permutation of its
    inputs, 1-Lipschitz in l_inf, exact in floating point, increasing in each of them.

    Raises:
        UsageError: an odd number of features.
    """

    def forward(self, x: Tensor) -> Tensor:
        a, b = _pairs(x).unbind(-1)
        return _unpair(torch.maximum(a, b), torch.minimum(a, b))


def _pairs(x: Tensor) -> Tensor:
    if x.shape[-1] % 2:
        raise UsageError(f"MaxMin sorts pairs: the number of features is odd, {x.shape[-1]}")
    return rearrange(x, "... (g two) -> ... g two", two=2)


def _unpair(first: Tensor, second: Tensor) -> Tensor:
    return rearrange(torch.stack([first, second], -1), "... g two -> ... (g two)")


@interval.register(MaxMin)
def _(layer: MaxMin, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return layer(lower), layer(upper)  # exact, and increasing


@enter_picks(MaxMin)
def _(layer: MaxMin, ends: Ends, rigorous: bool) -> Picks:
    """Of windows of two entries, in one row, the largest; mirrored, the smallest."""
    pool = nn.MaxPool2d((1, 2))
    lower, upper = (rearrange(_pairs(end), "b ... -> b 1 1 (...)") for end in ends)
    larger, smaller = largest_entries(pool, (lower, upper)), largest_entries(pool, (-upper, -lower))
    return Picks(*map(_unpair, larger, smaller.mirrored()))


@drift.register(MaxMin)
def _(
    layer: MaxMin, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    return _larger_error(errors[0])


def _larger_error(error: Tensor) -> Tensor:
    # SOUND: either of a pair may come out as its larger or its smaller.
    largest = _pairs(error).amax(-1)
    return _unpair(largest, largest)


@forward_error.register(MaxMin)
def _(layer: MaxMin, x: Rounded, unit: float) -> Rounded:
    return x.after(layer(x.value), _larger_error(x.error.expand_as(x.value)), 0)


@describe.register(MaxMin)
def _(layer: MaxMin, name: str = "") -> Description:
    return [{"kind": "max_min"}]
