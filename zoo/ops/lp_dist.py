"""l_p distance: y_bo = (sum_i |x_bi - w_oi|^p)^(1/p), stable in float32 up to p = 1000 and beyond.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.ops.blocks import blocks, check_operands, difference, keep_float32_under_autocast
from zoo.ops.define import zoo_op
from zoo.ops.linf_dist import linf_dist


def lp_dist(x_BI: Tensor, w_OI: Tensor, p: float) -> Tensor:
    """l_p distance between each input and each weight row; p = inf is `linf_dist`.

    y_bo = m * (sum_i (|x_bi - w_oi| / m)^p)^(1/p) with m = max_i |x_bi - w_oi|, so that no power
    overflows. Gradient (Zhang et al. 2021, arXiv:2102.05363, Section 4.1):
    dy_bo / dx_bi = sign(x_bi - w_oi) * (|x_bi - w_oi| / y_bo)^(p-1) = -dy_bo / dw_oi,
    0 for a pair at distance 0.

    Args:
        x_BI: inputs.
        w_OI: weights, same dtype and device.
        p: exponent, 1 <= p <= inf.

    Returns:
        y_BO >= 0; NaN where a coordinate of the pair is NaN.

    Raises:
        UsageError: p < 1, shapes, dtypes or devices that do not fit, or I = 0.
    """
    if not p >= 1:
        raise UsageError(f"lp_dist: p must be at least 1, got {p}")
    if math.isinf(p):
        return linf_dist(x_BI, w_OI)
    check_operands("lp_dist", x_BI, w_OI=w_OI)
    return _lp_dist(x_BI, w_OI, float(p))


def _power_(ratio: Tensor, q: float) -> Tensor:
    """ratio^q in place, 0 <= ratio <= 1 and q >= 0; 1.6 times as fast as pow, and as exact here.

    The error of q * log2(ratio) matters where the power counts, and there the product is small.
    The clamp is for ratio 0 alone, whose logarithm times q = 0 would be NaN.
    """
    return ratio.log2_().clamp_min_(-1e4).mul_(q).exp2_()


@zoo_op("lp_dist")
def _lp_dist(x_BI: Tensor, w_OI: Tensor, p: float) -> Tensor:
    y_BO = x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])
    for b, o in blocks(x_BI, w_OI):
        distance_boI = difference(x_BI[b], w_OI[o]).abs_()
        max_bo = distance_boI.amax(2)
        # A pair at distance 0 or inf would divide 0/0 or inf/inf: its distance is the maximum.
        finite_bo = (max_bo > 0) & (max_bo < math.inf)
        scale_bo = torch.where(finite_bo, max_bo, 1)
        sum_bo = _power_(distance_boI.div_(scale_bo[..., None]), p).sum(2)
        y_BO[b, o] = torch.where(finite_bo, max_bo * sum_bo.pow_(1 / p), max_bo)
    return y_BO


@_lp_dist.register_fake
def _(x_BI: Tensor, w_OI: Tensor, p: float) -> Tensor:
    return x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])


@zoo_op("lp_dist_backward")
def _lp_dist_backward(
    grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, y_BO: Tensor, p: float, of_x: bool, of_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of x and w; one that is not asked for may come back as zeros, uncomputed."""
    grad_x_BI, grad_w_OI = x_BI.new_zeros(x_BI.shape), w_OI.new_zeros(w_OI.shape)
    for b, o in blocks(x_BI, w_OI):
        ratio_boI = difference(x_BI[b], w_OI[o])
        # y is at least the largest |x - w|, as the sum behind it is at least 1: a ratio is at most
        # 1 in size, and its power can only underflow to 0.
        ratio_boI.div_(torch.where(y_BO[b, o] == 0, 1, y_BO[b, o])[..., None])
        slope_boI = _power_(ratio_boI.abs(), p - 1).mul_(ratio_boI.sign_())
        if of_x:
            grad_x_BI[b] += torch.einsum("bo,boi->bi", grad_BO[b, o], slope_boI)
        if of_w:
            grad_w_OI[o] -= torch.einsum("bo,boi->oi", grad_BO[b, o], slope_boI)
    return grad_x_BI, grad_w_OI


@_lp_dist_backward.register_fake
def _(
    grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, y_BO: Tensor, p: float, of_x: bool, of_w: bool
) -> tuple[Tensor, Tensor]:
    return x_BI.new_empty(x_BI.shape), w_OI.new_empty(w_OI.shape)


def _save(ctx, inputs, output) -> None:
    x_BI, w_OI, ctx.p = inputs
    ctx.save_for_backward(x_BI, w_OI, output)


def _backward(ctx, grad_BO: Tensor) -> tuple[Tensor, Tensor, None]:
    of_x, of_w, _ = ctx.needs_input_grad
    grads = _lp_dist_backward(grad_BO.contiguous(), *ctx.saved_tensors, ctx.p, of_x, of_w)
    return *grads, None


_lp_dist.register_autograd(_backward, setup_context=_save)
keep_float32_under_autocast(_lp_dist)
