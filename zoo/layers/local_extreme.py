"""LocalMax and LocalMin: the largest and the smallest pixel of each square of an image.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import (
    Picks,
    Rounded,
    describe,
    drift,
    enter_picks,
    forward_error,
    interval,
    largest_entries,
)
from zoo.rules.describe import Description


class LocalMax(nn.Module):
    """y = the maximum of each size x size square, side by side; 1-Lipschitz in l_inf, exact.

    Raises:
        UsageError: an image that is not made of such squares.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.max_pool2d(self.whole(x_BCHW), self.size)

    def whole(self, x_BCHW: Tensor) -> Tensor:
        """The image, if it has no pixel outside of all squares."""
        height, width = x_BCHW.shape[2:]
        if height % self.size or width % self.size:
            size = f"{self.size} x {self.size}"
            raise UsageError(f"{height} x {width} pixels are not squares of {size} side by side")
        return x_BCHW

    def extra_repr(self) -> str:
        return f"size={self.size}"


class LocalMin(LocalMax):
    """y = the minimum of each size x size square."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return -F.max_pool2d(-self.whole(x_BCHW), self.size)


@interval.register(LocalMax, LocalMin)
def _(layer: LocalMax, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return layer(lower), layer(upper)  # exact, and increasing


@enter_picks(LocalMax)
def _(layer: LocalMax, ends: Ends, rigorous: bool) -> Picks:
    return largest_entries(nn.MaxPool2d(layer.size), ends)


@enter_picks(LocalMin)
def _(layer: LocalMin, ends: Ends, rigorous: bool) -> Picks:
    lower, upper = ends
    return largest_entries(nn.MaxPool2d(layer.size), (-upper, -lower)).mirrored()


@drift.register(LocalMax, LocalMin)
def _(
    layer: LocalMax, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    # SOUND: any pixel of a square may be the one that counts.
    return F.max_pool2d(errors[0], layer.size)


@forward_error.register(LocalMax, LocalMin)
def _(layer: LocalMax, x: Rounded, unit: float) -> Rounded:
    # SOUND: any pixel of a square may be the one that counts.
    error = F.max_pool2d(x.error.expand_as(x.value), layer.size)
    return x.after(layer(x.value), error, 0)


@describe.register(LocalMax)
def _(layer: LocalMax, name: str = "") -> Description:
    return [{"kind": "local_max", "size": layer.size}]


@describe.register(LocalMin)
def _(layer: LocalMin, name: str = "") -> Description:
    return [{"kind": "local_min", "size": layer.size}]
