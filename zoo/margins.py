"""Margins: f_y - f_k, the one tensor that verdicts, losses and radii are functions of.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import math

from torch import Tensor


def margins_of(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """margins_bk = f_y(x_b) - f_k(x_b); column y is 0, so that cross_entropy(-margins, y) works."""
    return logits_BK.gather(1, y_B[:, None]) - logits_BK


def worst(margins_BK: Tensor, y_B: Tensor) -> Tensor:
    """Smallest margin over the wrong classes k != y, shape (B,); NaN if one of them is NaN.

    The label's own column is 0 by convention and would hide every positive margin.
    """
    return margins_BK.scatter(1, y_B[:, None], math.inf).amin(1)
