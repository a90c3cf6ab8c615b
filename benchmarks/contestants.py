"""The rows of the table, and who computes each of them.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.ops import lp_dist

PRODUCTS = (8, 12, 16, 24, 32, 48, 64)
REALS = (10, 20, 40, 100, 300, 1000)

# Of the size that training has: kernels leave out what a gradient makes negligible.
GRADIENT = 1e-4
RADIUS = 0.1

Call = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Row:
    op: str
    p: float = math.inf

    @property
    def roofs(self) -> tuple[str, ...]:
        """Kinds of arithmetic that the op needs of every pair, one after the other."""
        if self.p < math.inf:
            return tuple(self.op.split(" + "))
        # Backward touches one coordinate of a pair: there is no roof for it.
        return {"backward": (), "interval bounds": ("bounds",)}.get(self.op, ("distance",))

    def __str__(self) -> str:
        return f"p = {'∞' if math.isinf(self.p) else f'{self.p:g}'} {self.op}"


def all_rows() -> list[Row]:
    infinite = ("forward", "forward with argmax", "backward", "interval bounds")
    finite = ("forward", "backward", "forward + backward")
    return [Row(op) for op in infinite] + [
        Row(op, float(p)) for p in (*PRODUCTS, *REALS) for op in finite
    ]


class Operands:
    """Random operands of one size, and what a backward needs of the forward."""

    def __init__(self, batch: int, in_features: int, out_features: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x_BI = torch.randn(batch, in_features, generator=generator)
        self.w_OI = torch.randn(out_features, in_features, generator=generator)
        self.grad_BO = GRADIENT * torch.randn(batch, out_features, generator=generator)

    def ours(self, row: Row) -> Call:
        """The native kernels; a gradient needs the forward done before, outside of the time."""
        if row.op == "forward + backward":
            return self._through_autograd(lambda x_BI, w_OI: lp_dist(x_BI, w_OI, row.p))
        return self._call(row, "")

    def reference(self, row: Row) -> Call:
        """Plain torch, block by block, each pair divided by its maximum: zoo::<op>_reference."""
        if row.op != "forward + backward":
            return self._call(row, "_reference")

        def both() -> tuple[Tensor, ...]:
            y_BO = torch.ops.zoo.lp_dist_reference(self.x_BI, self.w_OI, row.p)
            return torch.ops.zoo.lp_dist_backward_reference(
                self.grad_BO, self.x_BI, self.w_OI, y_BO, row.p, True, True
            )

        return both

    def cdist(self, row: Row) -> Call | None:
        """torch.cdist, which has no part in some rows."""
        if row.op == "forward":
            return lambda: (torch.cdist(self.x_BI, self.w_OI, p=row.p),)
        if row.op == "forward + backward":
            return self._through_autograd(lambda x_BI, w_OI: torch.cdist(x_BI, w_OI, p=row.p))
        return None

    def _call(self, row: Row, suffix: str) -> Call:
        x_BI, w_OI, grad_BO, p = self.x_BI, self.w_OI, self.grad_BO, row.p
        ops = torch.ops.zoo
        finite = p < math.inf
        if row.op == "forward" and finite:
            op, arguments = "lp_dist", (x_BI, w_OI, p)
        elif row.op == "forward":
            op, arguments = "linf_dist", (x_BI, w_OI)
        elif row.op == "forward with argmax":
            op, arguments = "linf_dist_argmax", (x_BI, w_OI)
        elif row.op == "interval bounds":
            op, arguments = "linf_dist_bounds", (x_BI - RADIUS, x_BI + RADIUS, w_OI)
        elif finite:
            y_BO = ops.lp_dist(x_BI, w_OI, p)
            op, arguments = "lp_dist_backward", (grad_BO, x_BI, w_OI, y_BO, p, True, True)
        else:
            _, at_BO = ops.linf_dist_argmax(x_BI, w_OI)
            op, arguments = "linf_dist_backward", (grad_BO, x_BI, w_OI, at_BO)
        function = getattr(ops, op + suffix)

        def call() -> tuple[Tensor, ...]:
            result = function(*arguments)
            return result if isinstance(result, tuple) else (result,)

        return call

    def _through_autograd(self, forward: Callable[[Tensor, Tensor], Tensor]) -> Call:
        leaves = [t.clone().requires_grad_() for t in (self.x_BI, self.w_OI)]
        return lambda: torch.autograd.grad(forward(*leaves), leaves, self.grad_BO)


def failure(result: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> str | None:
    """What is wrong with a result, if it is: terms that overflow or underflow."""
    if not all(tensor.isfinite().all() for tensor in result):
        return "overflows"
    for got, right in zip(result, expected, strict=True):
        if (got - right).abs().max() > 1e-2 * right.abs().max():
            return "wrong"
    return None
