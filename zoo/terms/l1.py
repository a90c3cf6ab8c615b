"""The l_1 norm of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("l1")
class L1(Term):
    """Sum of |w| over all weights of linear and convolutional layers, biases left out."""

    name: Literal["l1"]

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        import torch
        from torch import nn

        layers = (m for m in view.model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
        sums = [layer.weight.abs().sum() for layer in layers]
        return torch.stack(sums).sum() if sums else view.x_BCHW.new_zeros(())
