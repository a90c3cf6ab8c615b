"""Hinge over the certified margins of a head, for images that are classified correctly.

The loss of SortNet with an MLP head (Zhang et al. 2022, arXiv:2210.01787).

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.objectives.base import Knobs, Loss, ScaledObjective, objectives
from zoo.objectives.head import read_head

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("head_hinge")
class HeadHinge(ScaledObjective):
    """mean_b 1{argmax f = y} * relu(1 - worst_b) + lam * CE(s * logits, y).

    worst_b is the smallest margin of the head over the box of features within eps, by intervals
    with the last layer elided; that the box holds the features is so at p = inf only
    (zoo.objectives.head). Misclassified images are driven by the cross-entropy alone.
    """

    knobs: ClassVar[frozenset[str]] = frozenset({"eps", "lam"})
    name: Literal["head_hinge"]

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from zoo.margins import worst

        logits_BK, margins_BK = read_head(model, x_BCHW, y_B, knobs["eps"])
        short_B = (1 - worst(margins_BK, y_B)).relu()
        hinge = (short_B * (logits_BK.argmax(1) == y_B)).mean()
        cross_entropy = self.cross_entropy(logits_BK, y_B, parameters)
        return Loss(hinge + knobs["lam"] * cross_entropy, logits_BK)
