"""Labelled 8-bit images of one split, and the one way in which a byte becomes a real number.

Shapes: N images of a split, B batch, C/H/W channel, height, width, V byte values (256).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from zoo.errors import UsageError


@dataclass(frozen=True, eq=False)
class Pixels:
    """Labelled 8-bit images of one split, on one device.

    Args:
        x_NCHW: uint8; the byte v stands for the real number v / levels, in [0, 1].
        y_N: int64 labels in [0, num_classes).
        mean: mean of each channel over the training images, in pixel units.
        std: one scalar for all channels, so that dividing by it leaves an l_inf ball a ball.
        levels: the largest byte; 255, except for data of fewer grey levels.
    """

    name: str
    split: str
    x_NCHW: Tensor
    y_N: Tensor
    num_classes: int
    mean: tuple[float, ...]
    std: float
    levels: int = 255

    def __post_init__(self) -> None:
        assert self.x_NCHW.dtype == torch.uint8 and self.y_N.dtype == torch.int64
        assert self.x_NCHW.ndim == 4 and self.y_N.shape == self.x_NCHW.shape[:1]
        assert len(self.mean) == self.x_NCHW.shape[1] and self.std > 0

    def __len__(self) -> int:
        return len(self.y_N)

    def to(self, device: torch.device | str) -> Pixels:
        """The same images on a device."""
        return replace(self, x_NCHW=self.x_NCHW.to(device), y_N=self.y_N.to(device))

    def take(self, n: int) -> Pixels:
        """The first n images; all of them where there are no more than n.

        Raises:
            UsageError: n is negative.
        """
        if n < 0:
            raise UsageError(f"cannot take {n} images of {self.name}\n  give 0 or more")
        return replace(self, x_NCHW=self.x_NCHW[:n], y_N=self.y_N[:n])

    def batch(self, idx_B: Tensor) -> tuple[Tensor, Tensor]:
        """Images x_BCHW, float32 in [0, 1], and labels y_B of the given indices, on the device."""
        idx_B = idx_B.to(self.x_NCHW.device)
        bytes_BCHW = self.x_NCHW.index_select(0, idx_B)
        # index_select takes a fifth of the time of indexing, and wants one axis of ints.
        x_BCHW = self._table_V.index_select(0, bytes_BCHW.flatten().int()).view_as(bytes_BCHW)
        return x_BCHW, self.y_N[idx_B]

    @cached_property
    def sha256(self) -> str:
        """Hash of shape, bytes and labels: what ties a claim to this split."""
        return content_sha256(self.x_NCHW, self.y_N)

    @cached_property
    def _table_V(self) -> Tensor:
        return level_table(self.levels).to(self.x_NCHW.device)


def level_table(levels: int) -> Tensor:
    """Float32 value of each byte, table_V[v] = float32(v / levels), on the CPU.

    The quotient is the correctly rounded float64 one. A table, since dividing on the device gives
    another float32 there: CUDA multiplies by a rounded reciprocal.
    """
    return torch.tensor([v / levels for v in range(256)], dtype=torch.float32)


def content_sha256(x_NCHW: Tensor, y_N: Tensor) -> str:
    """Hex sha256 over the shape, the uint8 pixels and the labels as little-endian int64."""
    digest = hashlib.sha256(repr(tuple(x_NCHW.shape)).encode())
    digest.update(x_NCHW.cpu().contiguous().numpy().data)
    digest.update(y_N.cpu().contiguous().numpy().astype("<i8", copy=False).data)
    return digest.hexdigest()
