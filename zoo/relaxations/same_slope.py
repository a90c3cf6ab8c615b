"""Same slope: both lines parallel to the chord, the smallest parallelogram around the ReLU."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord


@relaxations.register("same_slope")
class SameSlope(Relaxation):
    """Slope u / (u - l) below and above.

    Fast-Lin (Weng et al. 2018, arXiv:1804.09699), the dual of CAP (Wong and Kolter 2018,
    arXiv:1711.00851) and DeepZ (Singh et al. 2018) all have these lines. DiffAI's Smooth mixes box
    and diag to this slope, around a wider band.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = chord(lower, upper)
        return Slopes(slope, slope)
