"""Clipped hinge plus scaled cross-entropy (Zhang et al. 2022, arXiv:2110.06850, Section 4.2).

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.errors import UsageError
from zoo.objectives.base import Knobs, Loss, ScaledObjective, objectives

if TYPE_CHECKING:
    from torch import Tensor, nn


@objectives.register("mixture")
class Mixture(ScaledObjective):
    """mean_b clip(1 - worst_b / theta, 0, 1) + lam * CE(s * logits, y), theta = 2 * L * eps.

    worst_b is the clean margin to the nearest wrong class. The clip at 1 takes misclassified images
    out of the hinge: the cross-entropy alone drives them, and its weight lam falls as p grows.
    """

    knobs: ClassVar[frozenset[str]] = frozenset({"eps", "lam"})
    name: Literal["mixture"]

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        from zoo.bounds.lipschitz import lipschitz_constant
        from zoo.margins import margins_of, worst

        logits_BK = model(x_BCHW)
        worst_B = worst(margins_of(logits_BK, y_B), y_B)
        theta = 2 * lipschitz_constant(model) * knobs["eps"]
        if not theta > 0:
            raise UsageError("objective mixture: eps must be positive throughout its schedule")
        hinge = (1 - worst_B / theta).clamp(0, 1).mean()
        cross_entropy = self.cross_entropy(logits_BK, y_B, parameters)
        return Loss(hinge + knobs["lam"] * cross_entropy, logits_BK)
