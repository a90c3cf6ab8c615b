"""Tightness: intervals that do not grow with depth (Shi et al. 2021, arXiv:2103.17047).

Shapes: tensors have the shape of a ReLU's input, with the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from zoo.terms.base import terms
from zoo.terms.warm_up import WarmUp

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("tightness")
class Tightness(WarmUp):
    """r_0 / r_i, of mean radii: of the box as the first weights see it, and of a ReLU's input."""

    name: Literal["tightness"]

    def ratios(self, view: View) -> Iterator[Tensor]:
        from zoo.layers import Normalize

        steps, ends = view.reach.steps, view.reach.ends
        seen = int(bool(steps) and type(steps[0].layer) is Normalize)
        first = _radius(*ends[seen])
        for lower, upper in view.relu_ends:
            yield first / _radius(lower, upper)


def _radius(lower: Tensor, upper: Tensor) -> Tensor:
    return (upper - lower).mean() / 2
