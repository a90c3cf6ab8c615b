"""Cross-entropy of the clean logits: no word of robustness, for nets that have it built in.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from zoo.objectives.base import Knobs, Loss, ScaledObjective, objectives

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("cross_entropy")
class CrossEntropy(ScaledObjective):
    """CE(s * logits, y), with a trainable logit scale s."""

    name: Literal["cross_entropy"]

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        logits_BK = model(x_BCHW)
        return Loss(self.cross_entropy(logits_BK, y_B, parameters), logits_BK)
