"""Hinge objective of the first l_inf-distance nets (Zhang et al. 2021, arXiv:2102.05363).

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from zoo.fields import Number
from zoo.objectives.base import Knobs, Loss, Objective, objectives

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("hinge")
class Hinge(Objective):
    """kappa * H(theta) + (1 - kappa) * H(0), theta = 2 * L * eps.

    H(theta) = mix * mean_b max_k relu(theta - m_bk) + (1 - mix) * mean_bk relu(theta - m_bk) over
    k != y, with clean margins m; the label's own column counts as 0 in the mean over K.

    Args:
        mix: weight of the worst class against the mean over classes.
        kappa: weight of the robust hinge against the clean one.
    """

    knobs: ClassVar[frozenset[str]] = frozenset({"eps"})
    name: Literal["hinge"]
    mix: Annotated[Number, Field(ge=0, le=1)] = 0.75
    kappa: Annotated[Number, Field(ge=0, le=1)] = 1.0

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from zoo.bounds.lipschitz import lipschitz_constant
        from zoo.margins import margins_of

        logits_BK = model(x_BCHW)
        margins_BK = margins_of(logits_BK, y_B)
        loss = 0.0
        for weight, theta in (
            (self.kappa, 2 * lipschitz_constant(model) * knobs["eps"]),
            (1 - self.kappa, 0),
        ):
            short_BK = (theta - margins_BK).relu().scatter(1, y_B[:, None], 0.0)
            hinge = self.mix * short_BK.amax(1).mean() + (1 - self.mix) * short_BK.mean()
            loss = loss + weight * hinge
        return Loss(loss, logits_BK)
