"""Zero triangle: the lines 0 and z - l."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import stable


@relaxations.register("zero_tria")
class ZeroTria(Relaxation):
    """Lower slope 0, upper slope 1 where l < 0 < u: the offset above is -l.

    CROWN-0-Tria (Jovanovic et al. 2022, arXiv:2102.06700). Jumps at l = 0 and at u = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable(0.0, lower, upper), stable(1.0, lower, upper))
