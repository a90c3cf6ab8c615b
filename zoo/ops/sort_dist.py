"""Order-statistic distance of SortNet (Zhang et al. 2022, arXiv:2210.01787).

Shapes: B batch, O out features, I in features, K order statistics; b, o blocks of B and O.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from zoo.architectures import MAX_ORDER
from zoo.errors import UsageError
from zoo.ops.blocks import blocks, check_operands, difference, keep_float32_under_autocast, sign
from zoo.ops.define import zoo_op


def sort_dist(x_BI: Tensor, w_OI: Tensor, rho: float, k: int = 10) -> Tensor:
    """Weighted sum of the k largest coordinate differences between each input and weight row.

    y_bo = sum_j v_j * a_(j), a_(1) >= a_(2) >= ... the sorted |x_bi - w_oi|, with the weights v of
    `order_weights`; rho = 0 is `linf_dist`. 1-Lipschitz in l_inf, as the weights are positive and
    sum to at most 1. Each product and each sum rounds once, in the order of j: the result does not
    depend on block size, thread count or order of the features.

    Gradient: v_j * sign(x - w) at the j-th largest coordinate; ties keep the order of the features.

    Args:
        x_BI: inputs.
        w_OI: weights, same dtype and device.
        rho: ratio of successive weights, 0 <= rho < 1.
        k: number of order statistics; the rest of the geometric series is spread over these.

    Returns:
        y_BO >= 0; NaN where a coordinate of the pair is NaN.

    Raises:
        UsageError: rho or k out of range, shapes, dtypes or devices that do not fit, or I = 0.
    """
    check_operands("sort_dist", x_BI, w_OI=w_OI)
    v = order_weights(float(rho), min(k, x_BI.shape[1]))
    return order_dist(x_BI, w_OI, torch.tensor(v, dtype=torch.float32, device=x_BI.device))


def order_dist(x_BI: Tensor, w_OI: Tensor, v_K: Tensor) -> Tensor:
    """`sort_dist` with weights of any origin: y_bo = sum_j v_j * a_(j).

    1-Lipschitz in l_inf where no v_j is negative and they sum to at most 1, which is not checked
    here.

    Gradient: as sort_dist; in v_j it is a_(j).

    Args:
        x_BI: inputs.
        w_OI: weights, same dtype and device.
        v_K: weights of the K <= I largest differences, in float32 or the dtype of x.

    Returns, Raises: as sort_dist.
    """
    check_operands("order_dist", x_BI, w_OI=w_OI)
    return _sort_dist(x_BI, w_OI, checked_order("order_dist", x_BI, v_K))


def checked_order(op: str, x_BI: Tensor, v_K: Tensor) -> Tensor:
    """The weights of order statistics in the dtype that an op computes with.

    Raises:
        UsageError: another number of them, dtype or device than x allows.
    """
    # At least float32: in half precision weights could sum to more than 1.
    dtype = torch.promote_types(x_BI.dtype, torch.float32)
    fits = v_K.ndim == 1 and 1 <= len(v_K) <= x_BI.shape[1] and v_K.device == x_BI.device
    if not fits or v_K.dtype not in (torch.float32, dtype):
        raise UsageError(
            f"{op}: needs 1 to I = {x_BI.shape[1]} order weights in {dtype} on {x_BI.device}, "
            f"got {tuple(v_K.shape)} in {v_K.dtype} on {v_K.device}"
        )
    return v_K.to(dtype)


@functools.lru_cache
def order_weights(rho: float, k: int) -> tuple[float, ...]:
    """v_j = (1 - rho) rho^j / (1 - rho^k) for j < k, as float32 values that sum to at most 1.

    Truncated after k terms and spread over them (arXiv:2210.01787, reference implementation);
    rounded towards 0, so that the layer is 1-Lipschitz exactly. Weights that are 0 are left out.

    >>> order_weights(0.5, 2)
    (0.6666666269302368, 0.3333333134651184)

    Raises:
        UsageError: rho outside [0, 1), or k outside 1 .. 64; exact sums of many more take minutes.
    """
    if not 0 <= rho < 1 or not 1 <= k <= MAX_ORDER:
        raise UsageError(
            f"sort_dist: needs 0 <= rho < 1 and 1 <= k <= {MAX_ORDER}, got rho={rho}, k={k}"
        )
    ratio = Fraction(rho)
    exact = [(1 - ratio) * ratio**j / (1 - ratio**k) for j in range(k)]
    rounded = tuple(float32_below(value) for value in exact)
    # SOUND: the Lipschitz constant is the sum of the weights as they are stored.
    assert sum(map(Fraction, rounded)) <= 1
    return tuple(value for value in rounded if value > 0)


def float32_below(value: Fraction) -> float:
    """Largest float32 that is not above a value >= 0."""
    nearest = np.float32(float(value))
    return float(
        nearest if Fraction(float(nearest)) <= value else np.nextafter(nearest, np.float32(0))
    )


@zoo_op("sort_dist")
def _sort_dist(x_BI: Tensor, w_OI: Tensor, v_K: Tensor) -> Tensor:
    y_BO = x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])
    for b, o in blocks(x_BI, w_OI):
        y_BO[b, o] = ordered_sum(difference(x_BI[b], w_OI[o]).abs_(), v_K)
    return y_BO


def ordered_sum(distance_boI: Tensor, v_K: Tensor) -> Tensor:
    """sum_j v_j * a_(j) of each row; what points and boxes share."""
    largest_boK = distance_boI.topk(len(v_K), 2).values
    # SOUND: each product and each sum is rounded by itself, in this order, so that the sum is
    # monotone in every distance, and the ends of a box hold the sums of its points.
    sum_bo = largest_boK[..., 0] * v_K[0]
    for j in range(1, len(v_K)):
        sum_bo = sum_bo + largest_boK[..., j] * v_K[j]
    return sum_bo


@_sort_dist.register_fake
def _(x_BI: Tensor, w_OI: Tensor, v_K: Tensor) -> Tensor:
    return x_BI.new_empty(x_BI.shape[0], w_OI.shape[0])


@zoo_op("sort_dist_at")
def _sort_dist_at(x_BI: Tensor, w_OI: Tensor, k: int) -> Tensor:
    """Features of the k largest differences of each pair, from the largest down."""
    at_BOK = torch.empty(x_BI.shape[0], w_OI.shape[0], k, dtype=torch.int32, device=x_BI.device)
    for b, o in blocks(x_BI, w_OI):
        distance_boI = difference(x_BI[b], w_OI[o]).abs_()
        at_BOK[b, o] = distance_boI.sort(dim=2, descending=True, stable=True).indices[..., :k].int()
    return at_BOK


@_sort_dist_at.register_fake
def _(x_BI: Tensor, w_OI: Tensor, k: int) -> Tensor:
    return x_BI.new_empty(x_BI.shape[0], w_OI.shape[0], k, dtype=torch.int32)


@torch.library.custom_op("zoo::sort_dist_backward", mutates_args=())
def _sort_dist_backward(
    grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, v_K: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    at_BOK = _sort_dist_at(x_BI, w_OI, len(v_K)).long()
    at_BM = rearrange(at_BOK, "b o k -> b (o k)")
    at_ON = rearrange(at_BOK, "b o k -> o (b k)")
    size_b_o_k = {"b": x_BI.shape[0], "o": w_OI.shape[0], "k": len(v_K)}
    x_BOK = rearrange(x_BI.gather(1, at_BM), "b (o k) -> b o k", **size_b_o_k)
    w_BOK = rearrange(w_OI.gather(1, at_ON), "o (b k) -> b o k", **size_b_o_k)
    apart_BOK = x_BOK - w_BOK
    entry_BOK = grad_BO[..., None] * v_K * sign(apart_BOK)
    grad_v_K = (grad_BO[..., None] * apart_BOK.abs()).sum((0, 1))
    grad_x_BI = x_BI.new_zeros(x_BI.shape).scatter_add_(
        1, at_BM, rearrange(entry_BOK, "b o k -> b (o k)")
    )
    grad_w_OI = w_OI.new_zeros(w_OI.shape).scatter_add_(
        1, at_ON, -rearrange(entry_BOK, "b o k -> o (b k)")
    )
    return grad_x_BI, grad_w_OI, grad_v_K


@_sort_dist_backward.register_fake
def _(grad_BO: Tensor, x_BI: Tensor, w_OI: Tensor, v_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x_BI.new_empty(x_BI.shape), w_OI.new_empty(w_OI.shape), v_K.new_empty(v_K.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad_BO: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _sort_dist_backward(grad_BO.contiguous(), *ctx.saved_tensors)


_sort_dist.register_autograd(_backward, setup_context=_save)
keep_float32_under_autocast(_sort_dist)
