"""Lines around max(z, 0) over l <= z <= u: the slope of the chord, and offsets for given slopes.

Shapes: all tensors of a call have one shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops.define import zoo_op


def relu_chord(lower: Tensor, upper: Tensor) -> Tensor:
    """Slope from (l, relu(l)) to (u, relu(u)): u / (u - l) where l < 0 < u, else 0 or 1.

    Gradient: of the quotient where l < 0 < u, and 0 elsewhere.
    """
    return _relu_chord(lower, upper)


def relu_offsets(
    lower_slope: Tensor, upper_slope: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Offsets with which lines of these slopes touch max(z, 0) from below and from above.

    max(z, 0) - s z is convex in z whatever the slope s: largest at an end of the interval, smallest
    at an end or at 0. So

        upper_offset = max of relu(z) - s z over z in {l, u}
        lower_offset = min of relu(z) - s z over z in {l, u}, and 0 where l < 0 < u

    Gradient: that of the z which wins, l on a tie, and none of 0.
    """
    return _relu_offsets(lower_slope, upper_slope, lower, upper)


@zoo_op("relu_chord", devices=["cpu"])
def _relu_chord(lower: Tensor, upper: Tensor) -> Tensor:
    above = upper.relu()
    return above / (above + (-lower).relu()).clamp_min(torch.finfo(lower.dtype).tiny)


@_relu_chord.register_fake
def _(lower: Tensor, upper: Tensor) -> Tensor:
    return _like(lower)


@zoo_op("relu_chord_backward", devices=["cpu"])
def _relu_chord_backward(grad: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    crossing = (lower < 0) & (upper > 0)
    width = torch.where(crossing, (upper - lower).clamp_min(torch.finfo(lower.dtype).tiny), 1)
    by = torch.where(crossing, grad / width, 0)
    return by * (upper / width), by * (-lower / width)


@_relu_chord_backward.register_fake
def _(grad: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    return _like(lower), _like(lower)


@zoo_op("relu_offsets", devices=["cpu"])
def _relu_offsets(
    lower_slope: Tensor, upper_slope: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    least = torch.minimum(lower.relu() - lower_slope * lower, upper.relu() - lower_slope * upper)
    most = torch.maximum(lower.relu() - upper_slope * lower, upper.relu() - upper_slope * upper)
    crossing = (lower < 0) & (upper > 0)
    return torch.where(crossing, least.clamp_max(0), least), most


@_relu_offsets.register_fake
def _(
    lower_slope: Tensor, upper_slope: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    return _like(lower), _like(lower)


@zoo_op("relu_offsets_backward", devices=["cpu"])
def _relu_offsets_backward(
    grad_lower_offset: Tensor,
    grad_upper_offset: Tensor,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    ends = lower, upper
    at_lower, at_upper = (end.relu() - lower_slope * end for end in ends)
    kink = (lower < 0) & (upper > 0) & (torch.minimum(at_lower, at_upper) > 0)
    low, low_is_l = grad_lower_offset.masked_fill(kink, 0), at_lower <= at_upper
    at_lower, at_upper = (end.relu() - upper_slope * end for end in ends)
    high, high_is_l = grad_upper_offset, at_lower >= at_upper

    def by_end(end: Tensor, low_is: Tensor, high_is: Tensor) -> Tensor:
        step = (end > 0).to(end.dtype)
        return low * (step - lower_slope) * low_is + high * (step - upper_slope) * high_is

    return (
        -low * torch.where(low_is_l, lower, upper),
        -high * torch.where(high_is_l, lower, upper),
        by_end(lower, low_is_l, high_is_l),
        by_end(upper, ~low_is_l, ~high_is_l),
    )


@_relu_offsets_backward.register_fake
def _(
    grad_lower_offset: Tensor,
    grad_upper_offset: Tensor,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _like(lower), _like(lower), _like(lower), _like(lower)


def _like(tensor: Tensor) -> Tensor:
    return tensor.new_empty(tensor.shape)


def _save(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs)


def _chord_backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
    return _relu_chord_backward(grad.contiguous(), *ctx.saved_tensors)


def _offsets_backward(ctx, grad_lower: Tensor, grad_upper: Tensor) -> tuple[Tensor, ...]:
    return _relu_offsets_backward(
        grad_lower.contiguous(), grad_upper.contiguous(), *ctx.saved_tensors
    )


_relu_chord.register_autograd(_chord_backward, setup_context=_save)
_relu_offsets.register_autograd(_offsets_backward, setup_context=_save)
