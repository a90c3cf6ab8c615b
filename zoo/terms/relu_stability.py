"""ReLU stability: a loss that keeps inputs of ReLUs on one side of 0 over the box.

Shapes: tensors have the shape of a ReLU's input, with the batch B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("relu_stability")
class ReLUStability(Term):
    """-mean_b sum over neurons of tanh(1 + l u) (Xiao et al. 2019, arXiv:1809.03008).

    l and u are the ends of a neuron's input: their product is negative where it is unstable.
    """

    bounded: ClassVar[bool] = True
    name: Literal["relu_stability"]

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        found = [-(1 + lower * upper).tanh().sum() for lower, upper in view.relu_ends]
        return sum(found, view.x_BCHW.new_zeros(())) / len(view.y_B)
