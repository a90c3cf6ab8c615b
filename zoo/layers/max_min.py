"""MaxMin: neighbouring features sorted in pairs, an activation that keeps every gradient's size.

Shapes: G pairs of features.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import Rounded, describe, forward_error, interval
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


@forward_error.register(MaxMin)
def _(layer: MaxMin, x: Rounded, unit: float) -> Rounded:
    # SOUND: either of a pair may come out as its larger or its smaller.
    largest = _pairs(x.error.expand_as(x.value)).amax(-1)
    return x.after(layer(x.value), _unpair(largest, largest), 0)


@describe.register(MaxMin)
def _(layer: MaxMin, name: str = "") -> Description:
    return [{"kind": "max_min"}]
