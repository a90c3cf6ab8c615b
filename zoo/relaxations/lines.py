"""Lines: the tightest offsets at which lines of given slopes enclose the ReLU.

Shapes: tensors have the shape of the ReLU's input, with the batch; slopes may have more rows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import relu_chord, relu_offsets
from zoo.relaxations.base import Slopes
from zoo.rounding import FLUSH, largest, unit_roundoff


class Lines(NamedTuple):
    """lower_slope z + lower_offset <= max(z, 0) <= upper_slope z + upper_offset."""

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


def lines(slopes: Slopes, lower: Tensor, upper: Tensor, *, rigorous: bool = False) -> Lines:
    """Lines with these slopes that touch max(z, 0) on [lower, upper] (zoo.ops.relu_offsets).

    Args:
        rigorous: move the offsets outward by what rounding may have taken from them.
    """
    every = torch.broadcast_tensors(*slopes, lower, upper)
    lower_offset, upper_offset = relu_offsets(*every)
    if rigorous:
        # SOUND: a gap is off by a rounding of the product and one of the difference; 4 for 2.
        size = largest(lower, upper)
        unit = 4 * unit_roundoff(lower.dtype)
        lower_offset = lower_offset - (unit * (1 + slopes.lower.abs()) * size + FLUSH)
        upper_offset = upper_offset + (unit * (1 + slopes.upper.abs()) * size + FLUSH)
    return Lines(slopes.lower, lower_offset, slopes.upper, upper_offset)


def chord(lower: Tensor, upper: Tensor) -> Tensor:
    """The slope u / (u - l) where l < 0 < u, else 0 or 1 (zoo.ops.relu_chord)."""
    return relu_chord(lower, upper)


def stable(slope: Tensor | float, lower: Tensor, upper: Tensor) -> Tensor:
    """This slope where l < 0 < u, and where the ReLU is a line the slope of it: 0 or 1."""
    if not isinstance(slope, Tensor):
        slope = torch.full_like(lower, slope)
    # NaN ends keep the slope, which with them certifies nothing.
    return slope.masked_fill(upper <= 0, 0).masked_fill(lower >= 0, 1)
