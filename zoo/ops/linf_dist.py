"""l_inf distance: y_bo = max_i |x_bi - w_oi| (Zhang et al. 2021, arXiv:2102.05363, Eq. 3).

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops.blocks import blocks, check_operands, difference, keep_float32_under_autocast, sign
from zoo.ops.define import zoo_op


def linf_dist(x_BI: Tensor, w_OI: Tensor) -> Tensor:
    """Largest coordinate difference between each input and each weight row.

    y_bo = max_i |x_bi - w_oi|, the exact distance correctly rounded: the subtraction is the only
    rounded operation, so the result does not depend on block size, thread count or order.

    Gradient: sign(x - w) at the first maximal coordinate, 0 elsewhere (a subgradient).

    Args:
        x_BI: inputs.
        w_OI: weights, same dtype and device.

    Returns:
        y_BO >= 0; NaN where a coordinate of the pair is NaN.

    Raises:
        UsageError: shapes, dtypes or devices that do not fit, or I = 0.
    """
    check_operands("linf_dist", x_BI, w_OI=w_OI)
    if torch.is_grad_enabled() and (x_BI.requires_grad or w_OI.requires_grad):
        return _linf_dist_argmax(x_BI, w_OI)[0]
    return _linf_dist(x_BI, w_OI)


def linf_dist_argmax(x_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    """`linf_dist`, and the coordinate that wins for each pair: the first of equals, or of NaN.

    Returns:
        y_BO, and at_BO in int32, without a gradient.

    Raises:
        UsageError: as linf_dist.
    """
    check_operands("linf_dist_argmax", x_BI, w_OI=w_OI)
    return _linf_dist_argmax(x_BI, w_OI)


@zoo_op("linf_dist")
def _linf_dist(x_BI: Tensor, w_OI: Tensor) -> Tensor:
    y_BO = x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])
    for b, o in blocks(x_BI, w_OI):
        y_BO[b, o] = difference(x_BI[b], w_OI[o]).abs_().amax(2)
    return y_BO


@_linf_dist.register_fake
def _(x_BI: Tensor, w_OI: Tensor) -> Tensor:
    return x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])


@zoo_op("linf_dist_argmax")
def _linf_dist_argmax(x_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    y_BO = x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])
    at_BO = torch.empty_like(y_BO, dtype=torch.int32)
    for b, o in blocks(x_BI, w_OI):
        distance_boI = difference(x_BI[b], w_OI[o]).abs_()
        y_bo = distance_boI.amax(2)
        y_BO[b, o] = y_bo
        at_BO[b, o] = first_index(distance_boI, y_bo).int()
    return y_BO, at_BO


@_linf_dist_argmax.register_fake
def _(x_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    y_BO = x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])
    return y_BO, torch.empty_like(y_BO, dtype=torch.int32)


@zoo_op("linf_dist_backward")
def _linf_dist_backward(
    grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, at_BO: Tensor
) -> tuple[Tensor, Tensor]:
    """Scatter sign(x - w) * grad to the winning coordinate of each pair."""
    at_BO = at_BO.long()
    signed_BO = grad_BO * winner_sign(x_BI, w_OI, at_BO)
    grad_x_BI = x_BI.new_zeros(x_BI.shape).scatter_add_(1, at_BO, signed_BO)
    grad_w_OI = w_OI.new_zeros(w_OI.shape).scatter_add_(1, at_BO.T, -signed_BO.T)
    return grad_x_BI, grad_w_OI


@_linf_dist_backward.register_fake
def _(grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, at_BO: Tensor) -> tuple[Tensor, Tensor]:
    return x_BI.new_empty(x_BI.shape), w_OI.new_empty(w_OI.shape)


def first_index(values_boI: Tensor, extreme_bo: Tensor) -> Tensor:
    """First index at which a row takes its extreme value, or at which it is NaN.

    torch.max and torch.argmax do not promise the first index on every device.
    """
    # A NaN equals nothing, and it is the extreme of every row that holds one.
    hit_boI = (values_boI == extreme_bo[..., None]) | values_boI.isnan()
    # 1, 2, 3, ... reversed: the largest score among the hits is the first hit.
    score_I = torch.arange(hit_boI.shape[2], 0, -1, device=hit_boI.device, dtype=torch.int32)
    return (hit_boI.shape[2] - (hit_boI * score_I).amax(2)).long()


def winner_sign(x_BI: Tensor, w_OI: Tensor, at_BO: Tensor) -> Tensor:
    """sign(x_bi - w_oi) at the index i = at[b, o]; NaN where the difference is."""
    return sign(x_BI.gather(1, at_BO) - w_OI.gather(1, at_BO.T).T)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad_BO: Tensor, _grad_at: None) -> tuple[Tensor, Tensor]:
    return _linf_dist_backward(grad_BO.contiguous(), *ctx.saved_tensors)


_linf_dist_argmax.register_autograd(_backward, setup_context=_save)
for _op in (_linf_dist, _linf_dist_argmax):
    keep_float32_under_autocast(_op)
