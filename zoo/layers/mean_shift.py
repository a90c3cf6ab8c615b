"""MeanShift: centring without scaling, the only normalisation that keeps a layer 1-Lipschitz.

Shapes: B batch, O features or channels, then any further dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.rounding import FLUSH, NAIVE, Affine, Ends, Reading
from zoo.rules import Rounded, enter_shaped, forward_error, interval
from zoo.rules.affine import pulled_by_scale


class MeanShift(nn.Module):
    """y = x - mean_o (Zhang et al. 2021, arXiv:2102.05363, Section 5.1).

    In training the mean is that of the batch, over all processes, and the gradient flows through
    it; in eval mode it is the running mean, a constant, and the layer is 1-Lipschitz.

    Args:
        num_features: size of dimension 1.
        momentum: weight of the newest batch in the running mean.
    """

    running_mean_O: Tensor

    def __init__(self, num_features: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean_O", torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x - _like_channels(self.running_mean_O, x.ndim - 1)
        mean_O = _mean_over_processes(x)
        with torch.no_grad():
            self.running_mean_O.lerp_(mean_O, self.momentum)
        return x - _like_channels(mean_O, x.ndim - 1)

    def extra_repr(self) -> str:
        return f"{self.running_mean_O.numel()}, momentum={self.momentum}"


def _like_channels(mean_O: Tensor, num_axes: int) -> Tensor:
    """mean_O with trailing dimensions of size 1, for values of so many axes beside the batch."""
    return mean_O[(slice(None), *[None] * (num_axes - 1))]


def _mean_over_processes(x: Tensor) -> Tensor:
    """Mean of each channel over the global batch, differentiable in every process's part of it."""
    others = [dim for dim in range(x.ndim) if dim != 1]
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return x.mean(others)
    total = x.sum(others)
    count = torch.full_like(total[:1], x.numel() // x.shape[1])
    total_and_count = _SumOverProcesses.apply(torch.cat([total, count]))
    return total_and_count[:-1] / total_and_count[-1]


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is all-reduced too: every output depends on every input."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total


def _check_constant(layer: MeanShift) -> None:
    # SOUND: each end of a box would be centred by a mean of its own.
    if layer.training:
        raise UsageError("MeanShift in train mode has no bounds: call model.eval() first")


@interval.register(MeanShift)
def _(layer: MeanShift, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    _check_constant(layer)
    return reading.step(layer(lower), layer(upper))


@enter_shaped(MeanShift)
def _(layer: MeanShift, shape: Sequence[int]) -> Affine:
    _check_constant(layer)
    mean = _like_channels(layer.running_mean_O, len(shape))
    return Affine(torch.mul, torch.ones_like(mean), -mean, 1, pulled_by_scale)


@forward_error.register(MeanShift)
def _(layer: MeanShift, x: Rounded, unit: float) -> Rounded:
    _check_constant(layer)
    y = layer(x.value)
    return x.after(y, x.error + unit * y.double().abs() + FLUSH, 1)
