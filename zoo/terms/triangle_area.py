"""Triangle area: what linear bounds lose at ReLUs that are unstable over the box.

Shapes: tensors have the shape of a ReLU's input, with the batch B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("triangle_area")
class TriangleArea(Term):
    """mean_b sum over neurons of relu(-l) relu(u): twice the areas of their triangles.

    Balunovic and Vechev 2020 (COLT).
    """

    bounded: ClassVar[bool] = True
    name: Literal["triangle_area"]

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        found = [((-lower).relu() * upper.relu()).sum() for lower, upper in view.relu_ends]
        return sum(found, view.x_BCHW.new_zeros(())) / len(view.y_B)
