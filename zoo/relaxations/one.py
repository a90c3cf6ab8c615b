"""One: the lower line z."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("one")
class One(Relaxation):
    """Lower slope 1 where l < 0 < u; the chord above.

    CROWN-1 (Jovanovic et al. 2022, arXiv:2102.06700). The lower slope jumps at u = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable(1.0, lower, upper), chord(lower, upper))
