"""Lines: the tightest offsets at which lines of given slopes enclose the ReLU.

Shapes: tensors have the shape of the ReLU's input, with the batch; slopes may have more rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.relaxations.base import Slopes
from zoo.rounding import FLUSH, largest, unit_roundoff


class Lines(NamedTuple):
    """lower_slope z + lower_offset <= max(z, 0) <= upper_slope z + upper_offset."""

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


def lines(slopes: Slopes, lower: Tensor, upper: Tensor, *, rigorous: bool = False) -> Lines:
    """Lines with these slopes that touch max(z, 0) on [lower, upper].

    max(z, 0) - s z is convex in z whatever the slope s: largest at an end of the interval, smallest
    at an end or at 0. So

        upper_offset = max of relu(z) - s z over z in {l, u}
        lower_offset = min of relu(z) - s z over z in {l, u}, and 0 where l < 0 < u

    Args:
        rigorous: move the offsets outward by what rounding may have taken from them.
    """

    def gaps(slope: Tensor) -> tuple[Tensor, Tensor]:
        return lower.relu() - slope * lower, upper.relu() - slope * upper

    at_lower, at_upper = gaps(slopes.lower)
    lower_offset = torch.minimum(at_lower, at_upper)
    crossing = (lower < 0) & (upper > 0)
    lower_offset = torch.where(crossing, lower_offset.clamp_max(0), lower_offset)
    if slopes.upper is not slopes.lower:
        at_lower, at_upper = gaps(slopes.upper)
    upper_offset = torch.maximum(at_lower, at_upper)
    if rigorous:
        # SOUND: a gap is off by a rounding of the product and one of the difference; 4 for 2.
        size = largest(lower, upper)
        unit = 4 * unit_roundoff(lower.dtype)
        lower_offset = lower_offset - (unit * (1 + slopes.lower.abs()) * size + FLUSH)
        upper_offset = upper_offset + (unit * (1 + slopes.upper.abs()) * size + FLUSH)
    return Lines(slopes.lower, lower_offset, slopes.upper, upper_offset)


def chord(lower: Tensor, upper: Tensor) -> Tensor:
    """Slope from (l, relu(l)) to (u, relu(u)): u / (u - l) where l < 0 < u, else 0 or 1."""
    above, below = upper.relu(), -(-lower).relu()
    return above / (above - below).clamp_min(torch.finfo(lower.dtype).tiny)


def stable(slope: Tensor | float, lower: Tensor, upper: Tensor) -> Tensor:
    """This slope where l < 0 < u, and where the ReLU is a line the slope of it: 0 or 1."""
    active = (lower >= 0).to(lower.dtype)
    # Written so that NaN ends keep the slope, which with them certifies nothing.
    return torch.where((lower >= 0) | (upper <= 0), active, slope)
