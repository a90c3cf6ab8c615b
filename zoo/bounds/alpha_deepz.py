"""Zonotopes whose slopes are searched for, image by image.

Shapes: B batch, S = K - 1 rows, K classes; ``...`` the shape of a ReLU's input without its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoo.bounds.base import bounds
from zoo.bounds.zonotope import ZonotopeBound
from zoo.propagation import Source, Step, zonotope_bounds
from zoo.propagation.slopes import Alphas, best_of_many_steps
from zoo.relaxations import Slopes
from zoo.relaxations.lines import chord, stable
from zoo.rounding import Ends, NewSymbols, Remainder


@bounds.register("alpha_deepz")
class AlphaDeepZ(ZonotopeBound):
    """DeepZ's slopes moved by sign steps, as far as the least margin of an image rises.

    A slope anywhere in [0, 1] is sound with the offset that belongs to it; Balunovic and Vechev
    2020 (COLT) and CTBench (Mao et al. 2024, arXiv:2406.04848) learn them by Adam. One slope serves
    all rows, so single margins may fall; the least one is never below that of `deepz`.
    """

    name = "alpha_deepz"
    relaxation: ClassVar[str] = "same_slope"
    remainder: ClassVar[type[Remainder]] = NewSymbols
    sizes: ClassVar[Sequence[float]] = tuple(0.25 * 0.8**i for i in range(12))

    def __init__(self) -> None:
        super().__init__()

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        lower_BCHW, upper_BCHW = (end.detach() for end in ends[0])
        start: dict[int, Tensor] = {}

        def least_B1(source: Source) -> Tensor:
            around, rows = (lower_BCHW, upper_BCHW), rows_BSK.detach()
            margins_BS = zonotope_bounds(steps, around, rows, source, self.remainder)
            return margins_BS.amin(1, keepdim=True)

        def chords(step: int, lower: Tensor, upper: Tensor) -> Slopes:
            slope = start[step] = chord(lower, upper)
            return Slopes(slope, slope)

        with torch.no_grad():
            least_B1(chords)
        rows_of = {i: slope[:, None] for i, slope in start.items()}
        best = best_of_many_steps(lambda alphas: least_B1(_slopes(alphas)), rows_of, self.sizes)
        return _slopes(best)


def _slopes(alphas: Alphas) -> Source:
    """Lines of these slopes (B, 1, ...); stable neurons keep theirs."""

    def slopes(step: int, lower: Tensor, upper: Tensor) -> Slopes:
        slope = stable(alphas[step][:, 0], lower, upper)
        return Slopes(slope, slope)

    return slopes
