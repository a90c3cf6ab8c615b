"""l_p distance over a random part of the features: how SortNet trains.

Shapes: B batch, O out features, I in features, S sub-batches, N features that are kept; b the rows
of one sub-batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.errors import UsageError
from zoo.ops.blocks import check_operands


def random_subsets(num_i: int, keep: float, num_s: int) -> Tensor:
    """Features that are kept, kept_SN: as many for all, each row a random subset, in order.

    N ~ Binomial(I, keep) and at least 1, so that each feature is kept as often as by one coin each.
    From torch's global generator on the CPU, so that the numbers do not depend on the device.
    """
    drawn = torch.binomial(torch.tensor(float(num_i)), torch.tensor(keep))
    num_n = max(1, int(drawn))
    return torch.rand(num_s, num_i).topk(num_n, dim=1, sorted=False).indices.sort(1).values


def kept_dist(x_BI: Tensor, w_OI: Tensor, p: float, kept_SN: Tensor, sub_batch: int) -> Tensor:
    """`lp_dist` over the features kept_s for rows s * sub_batch to (s + 1) * sub_batch - 1.

    Features that are not kept are left out, not set to 0: they add no distance and get no gradient.
    Nothing that was gathered is kept for the gradient, which gathers again.

    Args:
        x_BI: inputs.
        w_OI: weights, same dtype and device.
        p: exponent, 1 <= p <= inf.
        kept_SN: for each sub-batch (the last may be smaller) the features that are kept, int64.
        sub_batch: rows in a sub-batch.

    Returns:
        y_BO >= 0; NaN where a kept coordinate of the pair is NaN.

    Raises:
        UsageError: p < 1, another number of sub-batches, operands that no distance is defined for.
    """
    check_operands("kept_dist", x_BI, w_OI=w_OI)
    if not p >= 1:
        raise UsageError(f"kept_dist: p must be at least 1, got {p}")
    if sub_batch < 1 or kept_SN.ndim != 2 or len(kept_SN) != -(-len(x_BI) // sub_batch):
        raise UsageError(
            f"kept_dist: {len(x_BI)} rows in sub-batches of {sub_batch} need a row of features "
            f"each, got {tuple(kept_SN.shape)}"
        )
    return _KeptDist.apply(x_BI, w_OI, float(p), kept_SN.to(x_BI.device), sub_batch)


def _sub_batches(kept_SN: Tensor, sub_batch: int) -> Iterator[tuple[slice, Tensor]]:
    for s, kept_N in enumerate(kept_SN):
        yield slice(s * sub_batch, (s + 1) * sub_batch), kept_N


class _KeptDist(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, x_BI: Tensor, w_OI: Tensor, p: float, kept_SN: Tensor, sub_batch: int
    ) -> Tensor:
        y_BO = x_BI.new_empty(len(x_BI), len(w_OI))
        at_BO = torch.empty_like(y_BO, dtype=torch.int32) if math.isinf(p) else None
        for b, kept_N in _sub_batches(kept_SN, sub_batch):
            x_bN, w_ON = x_BI[b].index_select(1, kept_N), w_OI.index_select(1, kept_N)
            if at_BO is None:
                y_BO[b] = torch.ops.zoo.lp_dist(x_bN, w_ON, p)
            else:
                y_BO[b], at_bO = torch.ops.zoo.linf_dist_argmax(x_bN, w_ON)
                at_BO[b] = kept_N[at_bO.long()].int()
        ctx.save_for_backward(x_BI, w_OI, y_BO if at_BO is None else at_BO, kept_SN)
        ctx.p, ctx.sub_batch = p, sub_batch
        return y_BO

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_BO: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        x_BI, w_OI, result_BO, kept_SN = ctx.saved_tensors
        grad_BO = grad_BO.contiguous()
        if math.isinf(ctx.p):
            grads = torch.ops.zoo.linf_dist_backward(grad_BO, x_BI, w_OI, result_BO)
            return *grads, None, None, None
        of_x, of_w = ctx.needs_input_grad[:2]
        grad_x_BI, grad_w_OI = torch.zeros_like(x_BI), torch.zeros_like(w_OI)
        for b, kept_N in _sub_batches(kept_SN, ctx.sub_batch):
            x_bN, w_ON = x_BI[b].index_select(1, kept_N), w_OI.index_select(1, kept_N)
            grad_x_bN, grad_w_ON = torch.ops.zoo.lp_dist_backward(
                grad_BO[b], x_bN, w_ON, result_BO[b], ctx.p, of_x, of_w
            )
            grad_x_BI[b].index_copy_(1, kept_N, grad_x_bN)
            grad_w_OI.index_add_(1, kept_N, grad_w_ON)
        return grad_x_BI, grad_w_OI, None, None, None
