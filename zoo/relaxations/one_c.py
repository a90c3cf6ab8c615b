"""Continuous one: the lower line has slope 1 for all neurons."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord


@relaxations.register("one_c")
class OneC(Relaxation):
    """Lower slope 1 whatever the ends; the chord above.

    CROWN-1-C (Jovanovic et al. 2022, arXiv:2102.06700), but tighter: a dead neuron has the line z
    there, and z - u here, which touches 0 at z = u; nothing jumps.
    """

    continuous: ClassVar[bool] = True
    rational: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(torch.ones_like(lower), chord(lower, upper))
