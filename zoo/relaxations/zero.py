"""Zero: the lower line 0."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("zero")
class Zero(Relaxation):
    """Lower slope 0 where l < 0 < u; the chord above.

    CROWN-0. On nets that were trained with intervals it proves more than the adaptive choice (Zhang
    et al. 2020, arXiv:1906.06316). The lower slope jumps at l = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable(0.0, lower, upper), chord(lower, upper))
