"""Continuous one triangle: slopes 1 and 0 for all neurons."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations


@relaxations.register("one_tria_c")
class OneTriaC(Relaxation):
    """Lower slope 1, upper slope 0 whatever the ends: an active neuron has u above.

    CROWN-1-Tria-C (Jovanovic et al. 2022, arXiv:2102.06700), but tighter: a dead neuron has the
    line z there, and z - u here, which touches 0 at z = u; nothing jumps.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = False

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(torch.ones_like(lower), torch.zeros_like(lower))
