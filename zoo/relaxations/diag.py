"""Diagonal: both lines of slope 1."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import stable


@relaxations.register("diag")
class Diag(Relaxation):
    """Slope 1 where l < 0 < u: the ReLU lies between z and z - l.

    Of zonotopes hBox-Diag and DeepZ-Diag (Jovanovic et al. 2022, arXiv:2102.06700). Jumps at
    u = 0.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = stable(1.0, lower, upper)
        return Slopes(slope, slope)
