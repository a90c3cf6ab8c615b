"""Soft slope: both lines have the slope of the soft lower line, for zonotopes.

Shapes: tensors have the shape of the ReLU's input, with the batch.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.soft import soft_step, steepness


@relaxations.register("soft_slope")
class SoftSlope(Relaxation):
    """Slope sigmoid(gamma (u / -l - -l / u)) below and above, where l < 0 < u.

    DeepZ-Soft (Jovanovic et al. 2022, arXiv:2102.06700); as gamma grows it becomes switch.

    Args:
        gamma: steepness, > 0.

    Raises:
        UsageError: a gamma that is not.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    def __init__(self, gamma: float = 1.0):
        self.gamma = steepness(gamma)

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = soft_step(lower, upper, self.gamma)
        return Slopes(slope, slope)
