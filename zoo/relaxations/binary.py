"""Binary: a lower slope 0 or 1 drawn anew at every call."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.relaxations.base import Relaxation, Slopes, relaxations
from zoo.relaxations.lines import chord, stable


@relaxations.register("binary")
class Binary(Relaxation):
    """Lower slope 0 or 1, each with probability 1 / 2, where l < 0 < u; the chord above.

    Lee et al. 2021 (NeurIPS), as a control. From torch's generator.
    """

    continuous: ClassVar[bool] = False
    rational: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        slope = (torch.rand_like(lower) < 0.5).to(lower.dtype)
        return Slopes(stable(slope, lower, upper), chord(lower, upper))
