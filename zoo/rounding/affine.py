"""An affine layer as interval arithmetic sees it: a product with a weight, and a bias.

Shapes: x has the layer's input shape, results have its output shape; B batch, I inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Affine:
    """x -> product(x, weight) + bias.

    Attributes:
        product: linear in both arguments, with sums of products in any order, no more.
        bias: broadcastable to the output, or None.
        num_terms: number of products in each sum.
    """

    product: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None
    num_terms: int

    def to(self, dtype: torch.dtype) -> Affine:
        """The same layer with its tensors in a dtype."""
        bias = None if self.bias is None else self.bias.to(dtype)
        return Affine(self.product, self.weight.to(dtype), bias, self.num_terms)

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

    def magnitude(self, largest: Tensor) -> Tensor:
        """|W| largest + |b|: at least the sum of the sizes of all terms of any input so large."""
        out = self.product(largest, self.weight.abs())
        return out if self.bias is None else out + self.bias.abs()


def _rows(x_BI: Tensor, weight_BKI: Tensor) -> Tensor:
    """A layer of its own for each row of the batch."""
    return torch.einsum("bi,bki->bk", x_BI, weight_BKI)
