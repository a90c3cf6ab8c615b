"""Box: both lines level."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import stable


@relaxations.register("box")
class BoxLines(Relaxation):
    """Slope 0 where l < 0 < u: the ReLU lies between 0 and u.

    Of zonotopes hBox and DeepZ-Box (Mirman et al. 2018). Jumps at l = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = stable(0.0, lower, upper)
        return Slopes(slope, slope)
