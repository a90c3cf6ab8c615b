"""Cross-entropy of certified margins, by any bound, beside that of the clean logits.

Wong and Kolter 2018 (arXiv:1711.00851); the mix by Gowal et al. 2018 (arXiv:1810.12715).

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.errors import UsageError
from zoo.fields import BoundName
from zoo.objectives.base import Knobs, Loss, Objective, objectives

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("robust_cross_entropy")
class RobustCrossEntropy(Objective):
    """kappa * CE(-margins, y) + (1 - kappa) * CE(logits, y).

    margins_BK are the bound's over the box of radius eps within [0, 1]: CE(-margins, y) =
    log(1 + sum over k != y of exp(-margin_k)) is never below the cross-entropy of any image in it.
    kappa and eps follow schedules; papers' kappa is often 1 - kappa. Where kappa is 0 no bound is
    computed. In train mode a BatchNorm has the clean batch's statistics for the box too.

    Args:
        bound: by its name, one that takes nets in train mode; an estimate may do.
    """

    knobs: ClassVar[frozenset[str]] = frozenset({"eps", "kappa"})
    name: Literal["robust_cross_entropy"]
    bound: BoundName = "interval"

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from torch.nn import functional as F

        from zoo.bounds import bounds
        from zoo.boxes import box

        kappa = knobs["kappa"]
        if not 0 <= kappa <= 1:
            raise UsageError(f"objective {self.name}: kappa must lie in [0, 1], got {kappa:g}")
        if kappa == 0:
            logits_BK = model(x_BCHW)
            return Loss(F.cross_entropy(logits_BK, y_B), logits_BK)
        around = box(x_BCHW, knobs["eps"])
        logits_BK, margins_BK = bounds[self.bound]().with_logits(model, around, y_B)
        robust, clean = F.cross_entropy(-margins_BK, y_B), F.cross_entropy(logits_BK, y_B)
        return Loss(kappa * robust + (1 - kappa) * clean, logits_BK)
