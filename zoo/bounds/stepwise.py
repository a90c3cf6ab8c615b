"""What bounds that go along a net's steps have in common: the exact net first, then its program.

Shapes: B batch, S = K - 1 rows, K classes.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.bounds.base import Margins, PropagatedBound
from zoo.boxes import Box, box
from zoo.inputs import check_alike
from zoo.propagation import (
    Reach,
    Source,
    margin_rows,
    program_errors,
    spread_margins,
    steps_of,
)
from zoo.relaxations import Relaxation, Slopes, relaxations
from zoo.rounding import REAL, Ends, cast_down, unit_roundoff
from zoo.rules import check_certifiable


class StepwiseBound(PropagatedBound):
    """Lower bounds of linear forms over the logits, for the exact net; its program by its errors.

    A subclass says `lower`.
    """

    @abstractmethod
    def lower(self, reach: Reach, rows_BSK: Tensor) -> Tensor:
        """Lower bounds (B, S) of <row, logits> over the box.

        Differentiable where the reach is read as NAIVE; where it is read as REAL, for the exact net
        whatever is rounded here.
        """

    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        return spread_margins(self.lower(reach, margin_rows(reach, y_B)), y_B)

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        check_certifiable(model)
        steps, _ = steps_of(model)
        return self.margins(Reach(steps, _ends(box), REAL), y_B)

    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        check_certifiable(model)
        # SOUND: the box's dtype stands for the program's below.
        check_alike(model, box.x_BCHW)
        return self._rigorous(copy.deepcopy(model).double(), box, y_B)[1]

    def at(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        eps: Fraction,
        clip: bool,
    ) -> Margins:
        around = box(x_BCHW, eps, clip)
        return Margins(self(model, around, y_B), *self._rigorous(model64, around, y_B))

    def _rigorous(self, model64: nn.Module, box: Box, y_B: Tensor) -> tuple[Tensor, Tensor]:
        """Margins of the exact net and of the program that runs in the box's dtype, in one pass.

        The box is rounded outward in that dtype, so it holds all real images too.
        """
        program = box.lower_BCHW.dtype
        steps, _ = steps_of(model64)
        lower, upper = _ends(box)
        reach = Reach(steps, (lower.double(), upper.double()), REAL)
        margins_BK = self.margins(reach, y_B)
        # On a float image each computed logit is this near the exact one.
        error_BK = program_errors(steps, reach.ends, program)
        error_BK = error_BK + error_BK.gather(1, y_B[:, None])
        # SOUND: 4 u for the rounding of this difference and of that sum.
        size_BK = 4 * unit_roundoff(torch.float64) * (margins_BK.abs() + error_BK)
        deployed_BK = cast_down(margins_BK - error_BK - size_BK, program)
        return margins_BK, deployed_BK.scatter(1, y_B[:, None], 0.0)


class RelaxedBound(StepwiseBound):
    """A stepwise bound whose lines a relaxation says.

    Attributes:
        relaxation: name of the one that it has unless another is given.

    Args:
        lines: a relaxation to take in its place; whatever it says is sound.
    """

    relaxation: ClassVar[str]

    def __init__(self, lines: Relaxation | None = None):
        self.lines = relaxations[self.relaxation]() if lines is None else lines
        self.repeatable = not self.lines.random


def by_relaxation(relaxation: Relaxation) -> Source:
    """The same choice at every ReLU."""

    def slopes(step: int, lower: Tensor, upper: Tensor) -> Slopes:
        return relaxation(lower, upper)

    return slopes


def _ends(box: Box) -> Ends:
    return box.lower_BCHW, box.upper_BCHW
