"""Backward linear bounds by their names in the literature.

Shapes: B batch, S = K - 1 rows, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from zoo.bounds.base import bounds
from zoo.bounds.stepwise import RelaxedBound, by_relaxation
from zoo.propagation import Reach, Source, Step, lower_bounds, tightened_ends
from zoo.rounding import Ends


class LinearBound(RelaxedBound):
    """margins_bk >= the least of a linear function of the pixels, over the box.

    Attributes:
        tight: whether the ends of ReLUs' inputs are found by such bounds too, layer by layer, or
            by intervals.
    """

    tight: ClassVar[bool] = False

    def lower(self, reach: Reach, rows_BSK: Tensor) -> Tensor:
        steps, rigorous = reach.steps, reach.rigorous
        if self.tight:
            lines = by_relaxation(self.lines)
            ends = tightened_ends(steps, reach.box, lines, rigorous=rigorous)
        else:
            ends = reach.ends
        source = self.source(steps, ends, rows_BSK)
        return lower_bounds(steps, ends, rows_BSK, len(steps), source, rigorous=rigorous)

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        """What chooses lines for the margins; whatever it chooses is sound."""
        return by_relaxation(self.lines)


@bounds.register("crown_ibp")
class CrownIBP(LinearBound):
    """CROWN's lines over intervals (Zhang et al. 2020, arXiv:1906.06316, at beta = 1)."""

    name = "crown_ibp"
    relaxation: ClassVar[str] = "adaptive"


@bounds.register("crown_ibp_zero")
class CrownIBPZero(LinearBound):
    """The same with the lower lines 0, which prove more on nets that were trained with intervals.

    Zhang et al. 2020 (arXiv:1906.06316).
    """

    name = "crown_ibp_zero"
    relaxation: ClassVar[str] = "zero"


@bounds.register("crown")
class Crown(LinearBound):
    """CROWN (Zhang et al. 2018, arXiv:1811.00866), DeepPoly: bounds of every entry by bounds."""

    name = "crown"
    relaxation: ClassVar[str] = "adaptive"
    tight: ClassVar[bool] = True


@bounds.register("cap_ibp")
class CapIBP(LinearBound):
    """Parallel lines over intervals: what Lee et al. 2021 (NeurIPS) call CAP."""

    name = "cap_ibp"
    relaxation: ClassVar[str] = "same_slope"


@bounds.register("cap")
class Cap(LinearBound):
    """The dual bound of Wong and Kolter 2018 (arXiv:1711.00851), exact; Fast-Lin's bound."""

    name = "cap"
    relaxation: ClassVar[str] = "same_slope"
    tight: ClassVar[bool] = True
