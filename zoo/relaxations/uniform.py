"""Uniform: a lower slope drawn anew at every call."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("uniform")
class Uniform(Relaxation):
    """Lower slope ~ U[0, 1] where l < 0 < u, one for each neuron; the chord above.

    Lee et al. 2021 (NeurIPS), as a control. From torch's generator.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        return Slopes(stable(torch.rand_like(lower), lower, upper), chord(lower, upper))
