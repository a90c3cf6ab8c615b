"""Directed rounding by hand: the next number, and casts that move to one side only.

Shapes: tensors of any one shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Lower and upper ends of an interval for each element.
Ends = tuple[Tensor, Tensor]


def mid_rad(lower: Tensor, upper: Tensor) -> Ends:
    """A point of each interval, and a radius around it that holds the interval."""
    mid = (lower + upper) / 2
    # SOUND: the middle is rounded, so the radius is taken to the farther end.
    return mid, torch.maximum(upper - mid, mid - lower)


def largest(lower: Tensor, upper: Tensor) -> Tensor:
    """The largest size of a number in each interval."""
    return torch.maximum(lower.abs(), upper.abs())


def next_down(x: Tensor) -> Tensor:
    """Largest number of the dtype below each element."""
    return torch.nextafter(x, torch.full_like(x, -math.inf))


def next_up(x: Tensor) -> Tensor:
    """Smallest number of the dtype above each element."""
    return torch.nextafter(x, torch.full_like(x, math.inf))


def cast_down(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Largest number of a dtype that is not above each element of a wider one."""
    cast = x.to(dtype)
    # SOUND: casting rounds to nearest, which may go up.
    return torch.where(cast.to(x.dtype) > x, next_down(cast), cast)


def cast_up(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Smallest number of a dtype that is not below each element of a wider one."""
    return -cast_down(-x, dtype)
