"""What an objective is: settings that a recipe can hold, and a loss that they define."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from zoo.fields import Number, Strict
from zoo.registry import Registry

if TYPE_CHECKING:  # recipes are checked without torch
    from torch import Tensor, nn

# Values of the schedules at the present step: eps and lam, say.
Knobs = Mapping[str, float]


@dataclass(frozen=True)
class Loss:
    """A scalar to minimise, and the logits_BK of the clean batch.

    These have no graph where the scalar is no function of them.
    """

    loss: Tensor
    logits_BK: Tensor


class Objective(Strict):
    """A loss over one batch.

    Attributes:
        knobs: names of the schedules that the loss reads.
        name: under which it is registered; first, so that recipes show it first.
    """

    knobs: ClassVar[frozenset[str]] = frozenset()
    name: str

    def parameters(self) -> dict[str, Tensor]:
        """Initial values of what is trained beside the model, and is never part of it."""
        return {}

    @abstractmethod
    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        """Loss of a batch of raw pixels; every eps is in pixel units."""


class ScaledObjective(Objective):
    """An objective with a cross-entropy of the logits times a trainable scale s.

    Args:
        scale: initial value of s.
    """

    scale: Annotated[Number, Field(gt=0)] = 1.0

    def parameters(self) -> dict[str, Tensor]:
        import torch

        return {"scale": torch.tensor(self.scale)}

    def cross_entropy(
        self, logits_BK: Tensor, y_B: Tensor, parameters: Mapping[str, Tensor]
    ) -> Tensor:
        """CE(s * logits, y)."""
        from torch.nn import functional as F

        return F.cross_entropy(parameters["scale"] * logits_BK, y_B)


objectives: Registry[type[Objective]] = Registry(
    "objective", "zoo.objectives", see="docs/recipes.md#objectives"
)
