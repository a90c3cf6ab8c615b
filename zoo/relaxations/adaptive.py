"""Adaptive: the lower line that leaves the smaller triangle."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("adaptive")
class Adaptive(Relaxation):
    """Lower slope 1 if u > -l, else 0; the chord above.

    CROWN (Zhang et al. 2018, arXiv:1811.00866) and DeepPoly (Singh et al. 2019). The lower slope
    jumps at u = -l.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable((upper > -lower).to(lower.dtype), lower, upper), chord(lower, upper))
