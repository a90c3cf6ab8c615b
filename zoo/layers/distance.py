"""What l_inf distances have in common, whichever entries they look at: a line, and a drift.

Shapes: N rows of inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.rounding import FLUSH, unit_roundoff


def line_below(w_NO: Tensor, lower_NO: Tensor, upper_NO: Tensor) -> tuple[Tensor, Tensor]:
    """Slope and offset of a line that |x_i - w_i| never falls below, exact.

    It is |x_i - w_i| where w_i lies outside the interval of x_i. Where it lies inside, the smallest
    distance is 0, and the line too; if i is the entry that is farthest at its nearest, so are the
    smallest distances of all others.

    Args:
        w_NO, lower_NO, upper_NO: of the entry i of each output, its weight and its ends.
    """
    above, below = lower_NO >= w_NO, upper_NO <= w_NO
    # SOUND: s (x - w) <= |x - w| for each of the slopes -1, 0 and 1, whatever the ends are.
    slope_NO = above.to(w_NO.dtype) - below.to(w_NO.dtype)
    return slope_NO, -slope_NO * w_NO


def distance_drift(
    incoming_N1: Tensor, farthest_NO: Tensor, bias_O: Tensor | None, program: torch.dtype
) -> Tensor:
    """How far a program's distances plus bias may be from the exact ones, in float64.

    Args:
        incoming_N1: the largest error of the entries that may count.
        farthest_NO: the largest distance over the exact ends.
    """
    largest_NO = farthest_NO + incoming_N1
    if bias_O is not None:
        largest_NO = largest_NO + bias_O.abs()
    # A distance is rounded once and a bias added once; 1.01 is for float64's rounding of this.
    error_NO = 1.01 * (incoming_N1 + 2 * unit_roundoff(program) * largest_NO) + 2 * FLUSH
    # SOUND: a number that may overflow has no bound; NaN certifies nothing.
    return torch.where(1.01 * largest_NO < torch.finfo(program).max, error_NO, torch.nan)
