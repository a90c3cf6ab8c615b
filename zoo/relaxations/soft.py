"""Soft: a lower slope that goes smoothly from 0 to 1, as the adaptive one jumps.

Shapes: tensors have the shape of the ReLU's input, with the batch.
"""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from zoo.errors import UsageError
from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable

_GUARD = 1e-6


@relaxations.register("soft")
class Soft(Relaxation):
    """Lower slope sigmoid(gamma (u / -l - -l / u)) where l < 0 < u; the chord above.

    CROWN-Soft (Jovanovic et al. 2022, arXiv:2102.06700). The slope goes to 0 as u does and to 1 as
    l goes to 0, so that nothing jumps; as gamma grows it becomes the adaptive one.

    Args:
        gamma: steepness, > 0.

    Raises:
        UsageError: a gamma that is not.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = True

    def __init__(self, gamma: float = 1.0):
        self.gamma = steepness(gamma)

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(soft_step(lower, upper, self.gamma), chord(lower, upper))


def steepness(gamma: float) -> float:
    """A gamma that is finite and > 0."""
    if not 0 < gamma < math.inf:
        raise UsageError(f"relaxation soft: gamma must be finite and > 0, not {gamma}")
    return gamma


def soft_step(lower: Tensor, upper: Tensor, gamma: float) -> Tensor:
    """The slope above, with a guard of 1e-6 in both denominators."""
    # Clamped, so that no gradient of a neuron that is stable divides by 0.
    below, above = lower.clamp_max(0), upper.clamp_min(0)
    balance = below / (above + _GUARD) - above / (below - _GUARD)
    return stable((gamma * balance).sigmoid(), lower, upper)
