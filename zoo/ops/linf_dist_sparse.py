"""l_inf distance over the edges that a pruned layer has kept.

Shapes: B batch, O out features, I in features, E edges; b a block of B.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.ops.blocks import sign
from zoo.ops.define import without_gradient, zoo_op

_BLOCK_ELEMENTS = 2**22  # of the (b, E) difference that the reference holds


def linf_dist_sparse(x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor) -> Tensor:
    """y_bo = max_e |x[b, index_e] - value_e| over the edges start[o] <= e < start[o + 1].

    A maximum over some of the coordinates is 1-Lipschitz in l_inf as that over all is, and rounds
    as exactly. Gradient in x_BI and value_E: to the first edge that wins.

    Args:
        x_BI: inputs.
        value_E: weights of the edges, same dtype and device.
        index_E: input feature of each edge, uint16.
        start: where each output's edges begin, int32 (O + 1,), from 0 to E; each output has one.

    Returns:
        y_BO >= 0; NaN where a coordinate of an edge is NaN.

    Raises:
        UsageError: shapes or dtypes that do not fit.
        UsageError or RuntimeError: edges that point outside of x, found before anything is read.
    """
    _check_types("linf_dist_sparse", x_BI, value_E, index_E, start)
    if torch.is_grad_enabled() and (x_BI.requires_grad or value_E.requires_grad):
        return _linf_dist_sparse_argmax(x_BI, value_E, index_E, start)[0]
    return _linf_dist_sparse(x_BI, value_E, index_E, start)


def linf_dist_sparse_bounds(
    lower_BI: Tensor, upper_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of `linf_dist_sparse` over the box; exact, as `linf_dist_bounds`.

    Not differentiable.

    Raises:
        UsageError: as linf_dist_sparse.
    """
    _check_types("linf_dist_sparse_bounds", lower_BI, value_E, index_E, start)
    if lower_BI.shape != upper_BI.shape or lower_BI.dtype != upper_BI.dtype:
        raise UsageError("linf_dist_sparse_bounds: lower and upper differ in shape or dtype")
    return _linf_dist_sparse_bounds(lower_BI, upper_BI, value_E, index_E, start)


def linf_dist_sparse_nearest(
    lower_BI: Tensor, upper_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor
) -> Tensor:
    """The edge of each output that is farthest at its nearest, int64 (B, O); the first of several.

    Without a kernel of its own.

    Raises:
        UsageError: as linf_dist_sparse.
    """
    _check_types("linf_dist_sparse_nearest", lower_BI, value_E, index_E, start)
    edge_BO = torch.empty(len(lower_BI), len(start) - 1, dtype=torch.int64, device=start.device)
    owner_E, at_E = _owner(start), index_E.long()
    with torch.no_grad():
        for b in _edge_blocks(lower_BI, index_E, start):
            below_bE, above_bE = lower_BI[b][:, at_E] - value_E, value_E - upper_BI[b][:, at_E]
            edge_BO[b] = _first_largest(torch.maximum(below_bE, above_bE), owner_E, len(start) - 1)
    return edge_BO


def edges_obstacle(num_in: int, index_E: Tensor, start: Tensor) -> str | None:
    """Why these are not the edges of a layer with num_in inputs, or None."""
    start = start.long()
    if len(start) < 2 or start[0] != 0 or start[-1] != len(index_E):
        return f"edges must run from 0 to {len(index_E)}"
    if bool((start.diff() < 1).any()):
        return "every output needs an edge"
    if int(index_E.int().max()) >= num_in:
        return f"an edge points beyond the {num_in} inputs"
    return None


def _check_types(op: str, x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor) -> None:
    fits = x_BI.ndim == 2 and value_E.ndim == index_E.ndim == start.ndim == 1
    if not fits or value_E.shape != index_E.shape:
        raise UsageError(
            f"{op}: needs x (B, I), values and indices (E,) and starts (O + 1,), got "
            f"{[tuple(t.shape) for t in (x_BI, value_E, index_E, start)]}"
        )
    if (value_E.dtype, index_E.dtype, start.dtype) != (x_BI.dtype, torch.uint16, torch.int32):
        raise UsageError(
            f"{op}: needs values as x ({x_BI.dtype}), indices uint16 and starts int32, got "
            f"{value_E.dtype}, {index_E.dtype}, {start.dtype}"
        )


def _edge_blocks(x_BI: Tensor, index_E: Tensor, start: Tensor) -> Iterator[slice]:
    """Slices of the batch small enough for all their edges to be held; refuses bad edges."""
    reason = edges_obstacle(x_BI.shape[1], index_E, start)
    if reason:
        raise UsageError(f"linf_dist_sparse: {reason}")
    step = max(1, _BLOCK_ELEMENTS // len(index_E))
    for b in range(0, x_BI.shape[0], step):
        yield slice(b, b + step)


def _owner(start: Tensor) -> Tensor:
    """The output that each edge belongs to."""
    counts_O = start.long().diff()
    return torch.arange(len(counts_O), device=start.device).repeat_interleave(counts_O)


def _largest(value_bE: Tensor, owner_E: Tensor, num_o: int) -> Tensor:
    """Maximum over each output's edges; NaN where one is NaN."""
    empty_bO = value_bE.new_empty(len(value_bE), num_o)
    return empty_bO.scatter_reduce(
        1, owner_E.expand_as(value_bE), value_bE, "amax", include_self=False
    )


def _first_largest(value_bE: Tensor, owner_E: Tensor, num_o: int) -> Tensor:
    """The first edge that has its output's maximum, or that is NaN."""
    wins_bE = (value_bE == _largest(value_bE, owner_E, num_o)[:, owner_E]) | value_bE.isnan()
    place_E = -torch.arange(len(owner_E), device=value_bE.device)  # the first edge has the largest
    place_bE = torch.where(wins_bE, place_E, -len(owner_E))
    return -_largest(place_bE, owner_E, num_o)


@zoo_op("linf_dist_sparse")
def _linf_dist_sparse(x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor) -> Tensor:
    y_BO = x_BI.new_empty(x_BI.shape[0], len(start) - 1)
    owner_E, at_E = _owner(start), index_E.long()
    for b in _edge_blocks(x_BI, index_E, start):
        y_BO[b] = _largest((x_BI[b][:, at_E] - value_E).abs_(), owner_E, y_BO.shape[1])
    return y_BO


@_linf_dist_sparse.register_fake
def _(x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor) -> Tensor:
    return x_BI.new_empty(x_BI.shape[0], start.shape[0] - 1)


@zoo_op("linf_dist_sparse_argmax")
def _linf_dist_sparse_argmax(
    x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    """The distance, and the first edge that wins."""
    y_BO = x_BI.new_empty(x_BI.shape[0], len(start) - 1)
    edge_BO = torch.empty_like(y_BO, dtype=torch.int32)
    owner_E, at_E = _owner(start), index_E.long()
    for b in _edge_blocks(x_BI, index_E, start):
        size_bE = (x_BI[b][:, at_E] - value_E).abs_()
        y_BO[b] = _largest(size_bE, owner_E, y_BO.shape[1])
        edge_BO[b] = _first_largest(size_bE, owner_E, y_BO.shape[1]).int()
    return y_BO, edge_BO


@_linf_dist_sparse_argmax.register_fake
def _(x_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    y_BO = x_BI.new_empty(x_BI.shape[0], start.shape[0] - 1)
    return y_BO, torch.empty_like(y_BO, dtype=torch.int32)


@torch.library.custom_op("zoo::linf_dist_sparse_backward", mutates_args=())
def _linf_dist_sparse_backward(
    grad_BO: Tensor, x_BI: Tensor, value_E: Tensor, index_E: Tensor, edge_BO: Tensor
) -> tuple[Tensor, Tensor]:
    edge_BO = edge_BO.long()
    at_BO = index_E.long()[edge_BO]
    entry_BO = grad_BO * sign(x_BI.gather(1, at_BO) - value_E[edge_BO])
    grad_x_BI = x_BI.new_zeros(x_BI.shape).scatter_add_(1, at_BO, entry_BO)
    grad_value_E = value_E.new_zeros(value_E.shape).index_add_(
        0, edge_BO.flatten(), -entry_BO.flatten()
    )
    return grad_x_BI, grad_value_E


@_linf_dist_sparse_backward.register_fake
def _(
    grad_BO: Tensor, x_BI: Tensor, value_E: Tensor, index_E: Tensor, edge_BO: Tensor
) -> tuple[Tensor, Tensor]:
    return x_BI.new_empty(x_BI.shape), value_E.new_empty(value_E.shape)


def _save(ctx, inputs, output) -> None:
    x_BI, value_E, index_E, _ = inputs
    ctx.save_for_backward(x_BI, value_E, index_E, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad_BO: Tensor, _grad_edge: None) -> tuple[Tensor, Tensor, None, None]:
    return *_linf_dist_sparse_backward(grad_BO.contiguous(), *ctx.saved_tensors), None, None


_linf_dist_sparse_argmax.register_autograd(_backward, setup_context=_save)


@zoo_op("linf_dist_sparse_bounds")
def _linf_dist_sparse_bounds(
    lower_BI: Tensor, upper_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], len(start) - 1)
    upper_BO = torch.empty_like(lower_BO)
    owner_E, at_E = _owner(start), index_E.long()
    for b in _edge_blocks(lower_BI, index_E, start):
        below_bE, above_bE = lower_BI[b][:, at_E] - value_E, upper_BI[b][:, at_E] - value_E
        near_bE = torch.maximum(below_bE, -above_bE)
        far_bE = torch.maximum(-below_bE, above_bE)
        lower_BO[b] = _largest(near_bE, owner_E, lower_BO.shape[1]).clamp_min_(0)
        upper_BO[b] = _largest(far_bE, owner_E, lower_BO.shape[1])
    return lower_BO, upper_BO


@_linf_dist_sparse_bounds.register_fake
def _(
    lower_BI: Tensor, upper_BI: Tensor, value_E: Tensor, index_E: Tensor, start: Tensor
) -> tuple[Tensor, Tensor]:
    lower_BO = lower_BI.new_empty(lower_BI.shape[0], start.shape[0] - 1)
    return lower_BO, torch.empty_like(lower_BO)


without_gradient(_linf_dist_sparse_bounds, "ends of pruned distances")
