"""Elementary functions: what a library may return for a value that no operation rounds correctly.

Shapes: tensors of any one shape.
"""

from __future__ import annotations

from torch import Tensor

from zoo.rounding.unit import smallest_normal, unit_roundoff


def library_error(value: Tensor, units: int) -> Tensor:
    """How far a function's exact value y can be from what a library computed for it.

    The assumption, for each code path of the library that may run, vectorised or not, is

        |fl(y) - y| <= 2 k u |y| + smallest normal                                              (1)

    for k units; an error of k units in the last place is within it, as such a unit is at most
    2 u |y|. Then |y| <= (|fl(y)| + smallest normal) / (1 - 2 k u), so that both the error and the
    right side of (1) are at most

        1.1 * 2 k u |fl(y)| + 2 smallest normal

    where 1.1 covers 1 / (1 - 2 k u) and the arithmetic of this line while k u is at most 0.02.

    Args:
        value: fl(y), in the dtype that it was computed in.
        units: k.
    """
    share = 1.1 * 2 * units * unit_roundoff(value.dtype)
    return share * value.abs() + 2 * smallest_normal(value.dtype)
