"""One triangle: the lines z and u."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import stable


@relaxations.register("one_tria")
class OneTria(Relaxation):
    """Lower slope 1, upper slope 0 where l < 0 < u: the offset above is u.

    CROWN-1-Tria (Jovanovic et al. 2022, arXiv:2102.06700). Jumps at l = 0 and at u = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable(1.0, lower, upper), stable(0.0, lower, upper))
