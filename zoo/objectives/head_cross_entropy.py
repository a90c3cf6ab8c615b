"""Cross-entropy of the certified margins of a head (Zhang et al. 2021, arXiv:2102.05363).

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from zoo.fields import Number
from zoo.objectives.base import Knobs, Loss, Objective, objectives
from zoo.objectives.head import read_head

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("head_cross_entropy")
class HeadCrossEntropy(Objective):
    """kappa * CE(-margins, y) + (1 - kappa) * CE(logits, y).

    margins_BK are those of the head over the box of features within eps, by intervals with the last
    layer elided, column y 0; that the box holds the features is so at p = inf only
    (zoo.objectives.head).

    Args:
        kappa: weight of the certified margins against the clean logits.
    """

    knobs: ClassVar[frozenset[str]] = frozenset({"eps"})
    name: Literal["head_cross_entropy"]
    kappa: Annotated[Number, Field(ge=0, le=1)] = 1.0

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from torch.nn import functional as F

        logits_BK, margins_BK = read_head(model, x_BCHW, y_B, knobs["eps"])
        robust, clean = F.cross_entropy(-margins_BK, y_B), F.cross_entropy(logits_BK, y_B)
        return Loss(self.kappa * robust + (1 - self.kappa) * clean, logits_BK)
