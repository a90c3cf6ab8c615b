"""Cross-entropy of the clean logits: no word of robustness, for nets that have it built in.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zoo.fields import Number
from zoo.objectives.base import Knobs, Loss, Objective, objectives

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("cross_entropy")
class CrossEntropy(Objective):
    """CE(s * logits, y), with a trainable logit scale s.

    Args:
        scale: initial value of s.
    """

    name: Literal["cross_entropy"]
    scale: Annotated[Number, Field(gt=0)] = 1.0

    def parameters(self) -> dict[str, Tensor]:
        import torch

        return {"scale": torch.tensor(self.scale)}

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from torch.nn import functional as F

        logits_BK = model(x_BCHW)
        return Loss(F.cross_entropy(parameters["scale"] * logits_BK, y_B), logits_BK)
