"""Objectives that are sums of terms (zoo.terms)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zoo.objectives.base import Knobs, Loss, Objective
from zoo.terms import Term, View, total

if TYPE_CHECKING:
    from torch import Tensor, nn


class ObjectiveOfTerms(Objective):
    """A sum of terms, each times its weight, that share all that they read of a batch."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Term]:
        """Its terms."""

    @property
    def knobs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return frozenset[str]().union(*(term.knobs for term in self.parts))

    def __call__(
        self,
        model: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        knobs: Knobs,
        parameters: Mapping[str, Tensor],
    ) -> Loss:
        view = View(model, x_BCHW, y_B, knobs.get("eps"))
        parts = [(1.0, term) for term in self.parts]
        return Loss(total(parts, view, knobs, f"objective {self.name}"), view.counted_BK)
