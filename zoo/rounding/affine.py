"""An affine layer as bounds see it: a product with a weight, its transpose, and a bias.

Shapes: x has the layer's input shape, results have its output shape, rows that of the output with
any number of forms in place of the batch; B batch, I inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.gradients import recording

# (rows, weight, shape of the input without its batch) -> rows over the input.
Pull = Callable[[Tensor, Tensor, Sequence[int]], Tensor]


class _SumAndDifference(torch.autograd.Function):
    """(a + b, a - b), whose derivative is itself: autograd's own makes a pass more."""

    @staticmethod
    def forward(ctx: object, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a + b, a - b

    @staticmethod
    def backward(ctx: object, total: Tensor, difference: Tensor) -> tuple[Tensor, Tensor]:
        return total + difference, total - difference


sum_and_difference = _SumAndDifference.apply


@dataclass(frozen=True)
class Affine:
    """x -> product(x, weight) + bias.

    Attributes:
        product: linear in both arguments, with sums of products in any order, no more.
        bias: broadcastable to the output, or None.
        num_terms: number of products in each sum.
        pulled: transpose of the product in x; derived from it where None.
        bias_size: at least the sizes of all numbers that the program adds up to the bias; |bias|
            where None.
        passing: at least the sizes of all numbers that the program meets on its way, for inputs so
            large; the magnitude where None. A mean is summed before it is divided.
    """

    product: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None
    num_terms: int
    pulled: Pull | None = None
    bias_size: Tensor | None = None
    passing: Callable[[Tensor], Tensor] | None = None

    def to(self, dtype: torch.dtype) -> Affine:
        """The same layer with its tensors in a dtype."""
        bias, size = (None if t is None else t.to(dtype) for t in (self.bias, self.bias_size))
        return replace(self, weight=self.weight.to(dtype), bias=bias, bias_size=size)

    @property
    def fully_connected(self) -> bool:
        """Whether it is a product of rows, (B, I) to (B, K), with weights (K, I)."""
        return self.product is F.linear

    def differences(self, y_B: Tensor) -> Affine:
        """x -> f_y(x) - f_k(x) for a fully connected layer f, (B, I) to (B, K): weights W_y - W_k.

        Each weight and bias is a difference that is rounded once, so off by u times itself: what
        one more product in each sum may add, and so it is counted in num_terms.
        """
        weight_BKI = self.weight[y_B][:, None] - self.weight
        bias_BK = None if self.bias is None else self.bias[y_B][:, None] - self.bias
        return Affine(_rows, weight_BKI, bias_BK, self.num_terms + 1)

    def centre(self, mid: Tensor) -> Tensor:
        """W mid + b."""
        out = self.product(mid, self.weight)
        return out if self.bias is None else out + self.bias

    def radius(self, radius: Tensor) -> Tensor:
        """|W| radius."""
        return self.product(radius, self.weight.abs())

    def mid_rad(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and radius of the image of [lower, upper], rounding ignored.

        The halves of (lower + upper) / 2 are taken where numbers are few, at the outputs of a fully
        connected layer: a pass over its inputs, and one over their gradients, costs as much as a
        product.
        """
        total, width = sum_and_difference(upper, lower)
        if not self.fully_connected:
            return self.centre(total / 2), self.radius(width / 2)
        mid = self.product(total, self.weight) / 2
        radius = self.product(width, self.weight.abs()) / 2
        return mid if self.bias is None else mid + self.bias, radius

    def magnitude(self, largest: Tensor) -> Tensor:
        """|W| largest + |b|: at least the sum of the sizes of all terms of any input so large."""
        out = self.product(largest, self.weight.abs())
        if self.bias is None:
            return out
        return out + (self.bias.abs() if self.bias_size is None else self.bias_size)

    def reached(self, largest: Tensor, magnitude: Tensor) -> Tensor:
        """At least the size of anything that the program computes of inputs so large.

        Args:
            magnitude: of these inputs, which costs a product.
        """
        return magnitude if self.passing is None else magnitude.maximum(self.passing(largest))

    def pull(self, rows: Tensor, shape: Sequence[int]) -> Tensor:
        """Coefficients of the forms <row, W x> over inputs x of a shape: W^T row for each row."""
        if self.pulled is not None:
            return self.pulled(rows, self.weight, shape)
        training = torch.is_grad_enabled()
        with recording("the transpose of a layer"):
            x = rows.new_zeros((len(rows), *shape)).requires_grad_()
            out = self.product(x, self.weight)
            (pulled,) = torch.autograd.grad(out, x, rows, create_graph=training)
        return pulled


def _rows(x_BI: Tensor, weight_BKI: Tensor) -> Tensor:
    """A layer of its own for each row of the batch."""
    return torch.einsum("bi,bki->bk", x_BI, weight_BKI)
