"""Continuous zero triangle: slopes 0 and 1 for all neurons."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations


@relaxations.register("zero_tria_c")
class ZeroTriaC(Relaxation):
    """Lower slope 0, upper slope 1 whatever the ends.

    CROWN-0-Tria-C (Jovanovic et al. 2022, arXiv:2102.06700): an active neuron has l below, a dead
    one z - l above, which are the tightest lines of these slopes.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = False

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(torch.zeros_like(lower), torch.ones_like(lower))
