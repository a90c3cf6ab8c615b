"""Switch: both lines level, or both of slope 1, whichever is the narrower."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import stable


@relaxations.register("switch")
class Switch(Relaxation):
    """Slope 1 if u > -l, else 0, where l < 0 < u: min(u, -l) wide.

    Of zonotopes hBox-Switch and DeepZ-Switch (Jovanovic et al. 2022, arXiv:2102.06700). Jumps at
    u = -l.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = stable((upper > -lower).to(lower.dtype), lower, upper)
        return Slopes(slope, slope)
