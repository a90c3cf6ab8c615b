"""HalfSum and HalfDifference: means and contrasts of neighbours, of l_inf gain 1.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.rounding import FLUSH, NAIVE, Affine, Ends, Reading
from zoo.rules import Rounded, affine, describe, forward_error, interval
from zoo.rules.describe import Description


class _Half(nn.Module, ABC):
    """Half a sum or difference: one rounded operation, as halving rounds subnormal numbers alone,
    sums of which are exact.

    Args:
        dim: along which neighbours lie: 1 channels, 2 rows, 3 columns.
    """

    def __init__(self, dim: int):
        super().__init__()
        if dim not in (1, 2, 3):
            raise UsageError(f"dim is 1 (channels), 2 (rows) or 3 (columns), not {dim}")
        self.dim = dim

    @abstractmethod
    def pair(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """What is added, or taken from each other."""

    def weighed(self, x_BCHW: Tensor, weight_2: Tensor) -> Tensor:
        """The pair with these weights."""
        (a, b), (of_a, of_b) = self.pair(x_BCHW), weight_2.unbind()
        return of_a * a + of_b * b

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class HalfSum(_Half):
    """y_i = (x_2i + x_2i+1) / 2 along a dimension; twice, over rows and columns, a box's mean.

    Raises:
        UsageError: an odd number of entries.
    """

    def pair(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        size = x_BCHW.shape[self.dim]
        if size % 2:
            raise UsageError(f"HalfSum takes pairs: dimension {self.dim} has {size} entries")
        a, b = x_BCHW.unflatten(self.dim, (size // 2, 2)).unbind(self.dim + 1)
        return a, b

    def forward(self, x_BCHW: Tensor) -> Tensor:
        a, b = self.pair(x_BCHW)
        return (a + b) / 2


class HalfDifference(_Half):
    """y_i = (x_i+1 - x_i) / 2 along a dimension: one entry fewer.

    Raises:
        UsageError: fewer than two entries.
    """

    def pair(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        size = x_BCHW.shape[self.dim] - 1
        if size < 1:
            raise UsageError(f"HalfDifference takes neighbours: dimension {self.dim} has none")
        return x_BCHW.narrow(self.dim, 1, size), x_BCHW.narrow(self.dim, 0, size)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        a, b = self.pair(x_BCHW)
        return (a - b) / 2


@interval.register(HalfSum)
def _(layer: HalfSum, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return reading.step(layer(lower), layer(upper))


@interval.register(HalfDifference)
def _(layer: HalfDifference, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    (a_low, b_low), (a_high, b_high) = layer.pair(lower), layer.pair(upper)
    # SOUND: what is taken away has its other end.
    return reading.step((a_low - b_high) / 2, (a_high - b_low) / 2)


@affine.register(HalfSum, HalfDifference)
def _(layer: HalfSum | HalfDifference, x: Tensor | None = None) -> Affine:
    # SOUND: a sum or difference is rounded once, and halving rounds subnormal numbers alone.
    second = 0.5 if isinstance(layer, HalfSum) else -0.5
    half = torch.tensor([0.5, second])
    # They are halved once they are added.
    return Affine(layer.weighed, half, None, 2, passing=lambda x: layer.weighed(x, 2 * half.abs()))


@forward_error.register(HalfSum, HalfDifference)
def _(layer: HalfSum | HalfDifference, x: Rounded, unit: float) -> Rounded:
    y = layer(x.value)
    a, b = layer.pair(x.error.expand_as(x.value))
    return x.after(y, (a + b) / 2 + unit * y.double().abs() + 2 * FLUSH, 1)


@describe.register(HalfSum)
def _(layer: HalfSum, name: str = "") -> Description:
    return [{"kind": "half_sum", "dim": layer.dim}]


@describe.register(HalfDifference)
def _(layer: HalfDifference, name: str = "") -> Description:
    return [{"kind": "half_difference", "dim": layer.dim}]
