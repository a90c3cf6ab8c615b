"""Interval image of the order-statistic distance: its exact range over a box of x.

Shapes: B batch, O out features, I in features, K order statistics; b, o blocks of B and O.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops.blocks import blocks, check_operands, keep_float32_under_autocast
from zoo.ops.define import without_gradient, zoo_op
from zoo.ops.linf_dist_bounds import gaps
from zoo.ops.sort_dist import checked_order, ordered_sum


def order_dist_bounds(
    lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor, v_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Smallest and largest `order_dist` to each weight row over the box [lower, upper].

    lower_bo = sum_j v_j * near_(j), near_i = max(lower_bi - w_oi, w_oi - upper_bi, 0)
    upper_bo = sum_j v_j * far_(j),  far_i = max(upper_bi - w_oi, w_oi - lower_bi)

    near and far are attained by one corner of the box each, and order statistics grow with every
    distance. Sound in floating point without slack where v >= 0: differences, maxima, products and
    sums round monotonically, so `order_dist` of any float input in the box, which rounds in the
    same places and the same order, lies in [lower_bo, upper_bo]. Without a gradient.

    Args:
        lower_BI, upper_BI: ends of the box, lower <= upper.
        w_OI: weights, same dtype and device.
        v_K: weights of the K <= I largest differences, none negative, in float32 or the dtype of w.

    Returns:
        lower_BO, upper_BO; NaN where a coordinate of the triple is NaN.

    Raises:
        UsageError: shapes, dtypes or devices that do not fit, or I = 0.
    """
    check_operands("order_dist_bounds", lower_BI, upper_BI, w_OI=w_OI)
    v_K = checked_order("order_dist_bounds", lower_BI, v_K)
    return _order_dist_bounds(lower_BI, upper_BI, w_OI, v_K)


@zoo_op("order_dist_bounds")
def _order_dist_bounds(
    lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor, v_K: Tensor
) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], w_OI.shape[0])
    upper_BO = torch.empty_like(lower_BO)
    for b, o in blocks(lower_BI, w_OI):
        near_boI, far_boI = gaps(lower_BI[b], upper_BI[b], w_OI[o])
        lower_BO[b, o] = ordered_sum(near_boI.clamp_min_(0), v_K)
        upper_BO[b, o] = ordered_sum(far_boI, v_K)
    return lower_BO, upper_BO


@_order_dist_bounds.register_fake
def _(lower_BI: Tensor, upper_BI: Tensor, w_OI: Tensor, v_K: Tensor) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], w_OI.shape[0])
    return lower_BO, torch.empty_like(lower_BO)


without_gradient(_order_dist_bounds, "ends of sums of order statistics (SortDist)")
keep_float32_under_autocast(_order_dist_bounds)
