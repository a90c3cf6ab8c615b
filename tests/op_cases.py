"""Operands, strategies and helpers that the tests of the distance ops share.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from zoo.ops import (
    linf_dist,
    linf_dist_bounds,
    lp_dist,
    order_dist,
    order_weights,
    sort_dist,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)

FINITE = [1, 2, 3.7, 8, 20.5, 100, 1000]
SHAPES = [(1, 1, 1), (2, 3, 1), (1, 1, 7), (5, 3, 17), (3, 130, 33), (7, 2, 1025)]
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12))
seeds = st.integers(0, 2**32 - 1)


def operands(
    shape: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Random x_BI and w_OI; shape is (B, O, I)."""
    num_b, num_o, num_i = shape
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_b, num_i, generator=g, dtype=dtype),
        torch.randn(num_o, num_i, generator=g, dtype=dtype),
    )


def box_operands(
    shape: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes of which some contain a weight row and some do not."""
    x_BI, w_OI = operands(shape, seed, dtype)
    g = torch.Generator().manual_seed(seed + 1)
    radius_B1 = 2 * torch.rand(len(x_BI), 1, generator=g, dtype=dtype)
    return x_BI - radius_B1, x_BI + radius_B1 * torch.rand(x_BI.shape, generator=g), w_OI


def edges_of(w_OI: Tensor, keep_OI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, indices and starts of the marked edges of a full layer."""
    start = torch.zeros(len(w_OI) + 1, dtype=torch.int32)
    start[1:] = keep_OI.sum(1).cumsum(0)
    return w_OI[keep_OI], keep_OI.nonzero()[:, 1].to(torch.uint16), start


def random_edges(
    shape: tuple[int, int, int], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """About a third of the edges of `operands`' weights, at least one an output."""
    _, w_OI = operands(shape, seed, dtype)
    keep_OI = torch.rand(w_OI.shape, generator=torch.Generator().manual_seed(seed)) < 0.3
    keep_OI[torch.arange(len(w_OI)), torch.arange(len(w_OI)) % w_OI.shape[1]] = True
    return edges_of(w_OI, keep_OI)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of floats agree to the bit."""
    return a.dtype == b.dtype and torch.equal(a.view(torch.int32), b.view(torch.int32))


def both(name: str, *arguments: Any) -> tuple[Any, Any]:
    """What the op zoo::<name> makes of its arguments, and what its torch reference does."""
    op, reference = (getattr(torch.ops.zoo, each) for each in (name, f"{name}_reference"))
    return op(*arguments), reference(*arguments)


def grads(op: Callable[..., Tensor], grad_BO: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Gradients of op in each of its inputs."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    return torch.autograd.grad(op(*leaves), leaves, grad_BO)


OPS = {
    "linf_dist": linf_dist,
    "lp_dist": lambda x, w: lp_dist(x, w, 2),
    "linf_dist_bounds": lambda x, w: linf_dist_bounds(x, x, w)[1],
    "sort_dist": lambda x, w: sort_dist(x, w, 0.3, 4),
    "order_dist": lambda x, w: order_dist(x, w, torch.tensor(order_weights(0.3, 1))),
}
each_op = pytest.mark.parametrize(("name", "op"), OPS.items(), ids=OPS)
