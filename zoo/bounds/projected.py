"""CAP by random projections: an estimate, to train larger nets by.

Shapes: B batch, S = K - 1 rows, K classes.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from zoo.bounds.base import PropagatedBound, bounds
from zoo.boxes import Box
from zoo.errors import UsageError
from zoo.propagation import Reach, margin_rows, spread_margins
from zoo.propagation.projected import project
from zoo.relaxations import relaxations


@bounds.register("cap_projected")
class CapProjected(PropagatedBound):
    """The dual bound of Wong and Kolter with all l_1 norms estimated (Wong et al. 2018,
    arXiv:1805.12514): it trains, `cap` certifies.

    Attributes:
        num_draws: Cauchy draws of which each median is taken; they use 50.
    """

    name = "cap_projected"
    sound: ClassVar[bool] = False
    num_draws: ClassVar[int] = 50

    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        rows_BSK = margin_rows(reach, y_B)
        logits = project(reach.steps, reach.box, relaxations["same_slope"](), self.num_draws)
        return spread_margins(logits.least(rows_BSK), y_B)

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        raise UsageError("cap_projected is an estimate: certify with cap")

    deployed = real
