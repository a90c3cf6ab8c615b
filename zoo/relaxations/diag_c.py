"""Continuous diagonal: both lines of slope 1 for all neurons."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations


@relaxations.register("diag_c")
class DiagC(Relaxation):
    """Slope 1 whatever the ends.

    Of zonotopes hBox-Diag-C (Jovanovic et al. 2022, arXiv:2102.06700), but tighter: a dead neuron
    lies between z and z - l there, and between z - u and z - l here; nothing jumps.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = False
    parallel: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = torch.ones_like(lower)
        return Slopes(slope, slope)
