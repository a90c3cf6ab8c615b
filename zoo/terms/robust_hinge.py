"""Hinge of certified margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zoo.fields import Number
from zoo.terms.base import Knobs, terms
from zoo.terms.margins import MarginTerm

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("robust_hinge")
class RobustHinge(MarginTerm):
    """mean_b max over k != y of relu(theta - margin_bk).

    Args:
        theta: margin beyond which an image counts no more.
    """

    name: Literal["robust_hinge"]
    theta: Annotated[Number, Field(ge=0)] = 1.0

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        from zoo.margins import worst

        worst_B = worst(self.margins_BK(view, knobs), view.y_B)
        return (self.theta - worst_B).relu().mean()
