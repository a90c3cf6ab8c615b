"""Slanted: both lines have a part of the chord's slope, between box and same slope.

Shapes: tensors have the shape of the ReLU's input, with the batch.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.errors import UsageError
from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("slanted")
class Slanted(Relaxation):
    """Slope kappa u / (u - l) below and above, where l < 0 < u.

    Jovanovic et al. 2022 (arXiv:2102.06700). At kappa = 0 it is box, at 1 same_slope; any other
    jumps at l = 0.

    Args:
        kappa: in [0, 1].

    Raises:
        UsageError: a kappa outside.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __init__(self, kappa: float = 0.5):
        if not 0 <= kappa <= 1:
            raise UsageError(f"relaxation slanted: kappa must lie in [0, 1], not {kappa}")
        self.kappa = kappa

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = stable(self.kappa * chord(lower, upper), lower, upper)
        return Slopes(slope, slope)
