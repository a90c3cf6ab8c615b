"""The l_inf gain of a matrix, max_o sum_i |w_oi|, from above and, beside 1, exactly.

Shapes: I in features, O out features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.rounding.directed import cast_down
from zoo.rounding.unit import unit_roundoff

_UNIT = unit_roundoff(torch.float64)


def row_norms(weight_OI: Tensor) -> Tensor:
    """Upper bounds of sum_i |w_oi| for each row, in float64; at most 1 where the exact sum is.

    A float64 sum of n numbers >= 0, in any order, is below the exact one by at most a share of
    (n - 1) u (Higham 2002, §4.2); it is raised by more than twice that.
    """
    size_OI = weight_OI.detach().double().abs()
    room = 1 + 2 * (size_OI.shape[1] + 2) * _UNIT
    below_O = size_OI.sum(1)
    above_O = below_O * room
    # SOUND: whether a sum is above 1 is decided exactly: fsum rounds once, and keeps the sign.
    for o in ((above_O > 1) & (below_O <= room)).nonzero().flatten().tolist():
        if math.fsum([*size_OI[o].tolist(), -1.0]) <= 0:
            above_O[o] = 1.0
    return above_O


def contracted(weight_OI: Tensor, dtype: torch.dtype) -> Tensor:
    """The weights with every row's sum_i |w_oi| at most 1, exactly, as numbers of a dtype.

    Rows that are larger are divided by their norm; all are rounded towards 0.
    """
    wide_OI = weight_OI.detach().double()
    norm_O1 = row_norms(wide_OI).clamp_min(1)[:, None]
    # A quotient may be rounded up, by a share of u: a little more than the norm leaves room.
    room = torch.where(norm_O1 > 1, 1 + 4 * _UNIT, 1.0)
    wide_OI = wide_OI / (norm_O1 * room)
    small_OI = wide_OI.sign().to(dtype) * cast_down(wide_OI.abs(), dtype)
    # SOUND: the layer's Lipschitz constant is that of the weights as they are stored.
    assert bool((row_norms(small_OI) <= 1).all())
    return small_OI
