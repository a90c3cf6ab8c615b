"""Interval image of the l_inf distance: the exact range of max_i |x_i - w_oi| over a box of x.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops.blocks import blocks, check_operands, difference, keep_float32_under_autocast
from zoo.ops.define import zoo_op
from zoo.ops.linf_dist import first_index


def linf_dist_bounds(lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest l_inf distance to each weight row over the box [lower, upper].

    lower_bo = max_i max(lower_bi - w_oi, w_oi - upper_bi, 0)
    upper_bo = max_i max(upper_bi - w_oi, w_oi - lower_bi)

    Sound in floating point without slack: subtraction, maximum and absolute value round
    monotonically, so `linf_dist` of any float input in the box lies in [lower_bo, upper_bo].

    Gradient: to the end of the box and the coordinate that wins, first index on a tie; none where
    the lower bound is 0 because w lies inside the box.

    Args:
        lower_BI, upper_BI: ends of the box, lower <= upper.
        w_OI: weights, same dtype and device.

    Returns:
        lower_BO, upper_BO; NaN where a coordinate of the triple is NaN.

    Raises:
        UsageError: shapes, dtypes or devices that do not fit, or I = 0.
    """
    check_operands("linf_dist_bounds", lower_BI, upper_BI, w_OI=w_OI)
    return _linf_dist_bounds(lower_BI, upper_BI, w_OI)


def linf_dist_nearest(lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor) -> Tensor:
    """The coordinate i that makes lower_bo above, int64 (B, O); one of those where w lies inside
    the box if there is no other. Without a kernel of its own."""
    check_operands("linf_dist_nearest", lower_BI, upper_BI, w_OI=w_OI)
    at_BO = torch.empty(len(lower_BI), len(w_OI), dtype=torch.int64, device=w_OI.device)
    with torch.no_grad():
        for b, o in blocks(lower_BI, w_OI):
            near_boI, _ = gaps(lower_BI[b], upper_BI[b], w_OI[o])
            at_BO[b, o] = near_boI.argmax(2)
    return at_BO


def gaps(lower_bI: Tensor, upper_bI: Tensor, w_oI: Tensor) -> tuple[Tensor, Tensor]:
    """Per-coordinate smallest (negative where w is inside the box) and largest distance."""
    below_boI, above_boI = difference(lower_bI, w_oI), difference(upper_bI, w_oI)
    # SOUND: torch.maximum propagates NaN, unlike fmax or a comparison.
    return torch.maximum(below_boI, -above_boI), torch.maximum(-below_boI, above_boI)


@zoo_op("linf_dist_bounds")
def _linf_dist_bounds(lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], w_OI.shape[0])
    upper_BO = torch.empty_like(lower_BO)
    for b, o in blocks(lower_BI, w_OI):
        near_boI, far_boI = gaps(lower_BI[b], upper_BI[b], w_OI[o])
        lower_BO[b, o] = near_boI.amax(2).clamp_min_(0)
        upper_BO[b, o] = far_boI.amax(2)
    return lower_BO, upper_BO


@_linf_dist_bounds.register_fake
def _(lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], w_OI.shape[0])
    return lower_BO, torch.empty_like(lower_BO)


@torch.library.custom_op("zoo::linf_dist_bounds_backward", mutates_args=())
def _linf_dist_bounds_backward(
    grad_lower_BO: Tensor, grad_upper_BO: Tensor, lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_lower_BI, grad_upper_BI = torch.zeros_like(lower_BI), torch.zeros_like(upper_BI)
    grad_w_OI = torch.zeros_like(w_OI)
    for b, o in blocks(lower_BI, w_OI):
        w_oI = w_OI[o]
        lower = lower_BI[b], grad_lower_BI[b]
        upper = upper_BI[b], grad_upper_BI[b]
        near_boI, far_boI = gaps(lower_BI[b], upper_BI[b], w_oI)
        near_bo, far_bo = near_boI.amax(2), far_boI.amax(2)
        # near = max(lower - w, w - upper) and far = max(upper - w, w - lower): the same form
        for gaps_boI, gap_bo, grad_bo, (plus_bI, grad_plus_bI), (minus_bI, grad_minus_bI) in (
            (near_boI, near_bo, grad_lower_BO[b, o] * (near_bo > 0), lower, upper),
            (far_boI, far_bo, grad_upper_BO[b, o], upper, lower),
        ):
            at_bo = first_index(gaps_boI, gap_bo)
            w_bo = w_oI.gather(1, at_bo.T).T
            plus_bo = plus_bI.gather(1, at_bo) - w_bo >= w_bo - minus_bI.gather(1, at_bo)
            grad_plus_bI.scatter_add_(1, at_bo, grad_bo * plus_bo)
            grad_minus_bI.scatter_add_(1, at_bo, -grad_bo * ~plus_bo)
            grad_w_OI[o].scatter_add_(1, at_bo.T, torch.where(plus_bo, -grad_bo, grad_bo).T)
    return grad_lower_BI, grad_upper_BI, grad_w_OI


@_linf_dist_bounds_backward.register_fake
def _(
    grad_lower_BO: Tensor, grad_upper_BO: Tensor, lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(lower_BI), torch.empty_like(upper_BI), torch.empty_like(w_OI)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad_lower_BO: Tensor, grad_upper_BO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _linf_dist_bounds_backward(
        grad_lower_BO.contiguous(), grad_upper_BO.contiguous(), *ctx.saved_tensors
    )


_linf_dist_bounds.register_autograd(_backward, setup_context=_save)
keep_float32_under_autocast(_linf_dist_bounds)
