"""Normalize: pixels to zero mean and unit scale, as the first layer of a net in training.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.eps import round_up
from zoo.errors import UsageError
from zoo.rounding import FLUSH, NAIVE, Affine, Ends, Reading
from zoo.rules import Rounded, affine, describe, forward_error, interval, obstacle
from zoo.rules.affine import pulled_by_scale
from zoo.rules.describe import Description


class Normalize(nn.Module):
    """y = (x - mean_c) / std with one std for all channels, so that an l_inf ball stays a ball.

    Args:
        mean: one mean a channel, in pixel units.
        std: the scale, in pixel units, > 0.

    Raises:
        UsageError: std is not a positive finite number.
    """

    mean_C: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: float):
        super().__init__()
        # The number itself, since a net that is only planned, on the meta device, has no values.
        rounded = torch.tensor(std, dtype=torch.float32, device="cpu").item()
        if not 0 < rounded < math.inf:
            raise UsageError(f"Normalize: {_not_positive(rounded)}")
        self.register_buffer("mean_C", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32))

    @property
    def lipschitz(self) -> float:
        """l_inf Lipschitz constant 1 / std, rounded up."""
        return round_up(1 / Fraction(self.std.item()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW - rearrange(self.mean_C, "c -> c 1 1")) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean_C.tolist()}, std={self.std.item():.4g}"


@obstacle.register
def _(layer: Normalize) -> str | None:
    # Checked again with the weights in place: a file can hold any number.
    std = layer.std.item()
    return None if 0 < std < math.inf else _not_positive(std)


def _not_positive(std: float) -> str:
    return f"std must be one positive float32 number, got {std}"


@interval.register(Normalize)
def _(layer: Normalize, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    # Two roundings an end, so two widenings. Both operations are increasing in x.
    return reading.step(*reading.step(layer(lower), layer(upper)))


@affine.register(Normalize)
def _(layer: Normalize, x: Tensor | None = None) -> Affine:
    scale = 1 / layer.std
    bias_C11 = rearrange(-layer.mean_C * scale, "c -> c 1 1")
    # SOUND: two roundings of the program, two of the weights here.

    def passing(size: Tensor) -> Tensor:
        mean_C11 = rearrange(layer.mean_C.abs(), "c -> c 1 1")
        return (size + mean_C11) * scale.clamp_min(1)

    return Affine(torch.mul, scale, bias_C11, 4, pulled_by_scale, passing=passing)


@forward_error.register(Normalize)
def _(layer: Normalize, x: Rounded, unit: float) -> Rounded:
    y = layer(x.value)
    # x - mean and the division round by one unit of |y| each; 1.01 covers their product.
    gain = layer.lipschitz
    error = x.error * gain + 2 * 1.01 * unit * y.double().abs() + (1 + gain) * FLUSH
    return x.after(y, error, 2, gain)


@describe.register(Normalize)
def _(layer: Normalize, name: str = "") -> Description:
    return [{"kind": "normalize", "name": name}]
