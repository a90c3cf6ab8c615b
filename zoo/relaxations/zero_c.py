"""Continuous zero: the lower line is level for all neurons."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord


@relaxations.register("zero_c")
class ZeroC(Relaxation):
    """Lower slope 0 whatever the ends, so the line l for an active neuron; the chord above.

    CROWN-0-C (Jovanovic et al. 2022, arXiv:2102.06700): looser than CROWN-0 where the ReLU is a
    line, and nowhere a jump.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(torch.zeros_like(lower), chord(lower, upper))
