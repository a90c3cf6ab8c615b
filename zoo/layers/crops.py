"""Crops: parts of an image as a net sees them, one or several.

Shapes: B batch, C channels, H height, W width, L crops of an image, I = C * size^2, F features.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.layers.selection import enter_regrouping, enter_selection
from zoo.rules import describe
from zoo.rules.describe import Description


class CenterCrop(nn.Module):
    """The middle of an image, (B, C, H, W) to (B, C, size, size).

    Behind crops after padding by (H - size) / 2 in training, this is a random crop of the image.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x_BCHW: Tensor) -> Tensor:
        # SOUND: a slice that begins before the image would take other pixels than it says.
        if self.size > min(x_BCHW.shape[2:]):
            raise UsageError(f"a crop of {self.size} pixels of {tuple(x_BCHW.shape[2:])}")
        top, left = ((length - self.size) // 2 for length in x_BCHW.shape[2:])
        return x_BCHW[:, :, top : top + self.size, left : left + self.size]

    def extra_repr(self) -> str:
        return str(self.size)


class Crops(nn.Module):
    """All square crops at a stride, row by row, (B, C, H, W) to (B * L, I): their own batch."""

    def __init__(self, size: int, stride: int):
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return rearrange(F.unfold(x_BCHW, self.size, stride=self.stride), "b i l -> (b l) i")

    def extra_repr(self) -> str:
        return f"{self.size}, stride={self.stride}"


class Join(nn.Module):
    """Features of an image's crops side by side again, (B * L, F) to (B, L * F)."""

    def __init__(self, num_crops: int):
        super().__init__()
        self.num_crops = num_crops

    def forward(self, x_RF: Tensor) -> Tensor:
        return rearrange(x_RF, "(b l) f -> b (l f)", l=self.num_crops)

    def extra_repr(self) -> str:
        return str(self.num_crops)


enter_selection(CenterCrop)
enter_regrouping(Crops)
enter_regrouping(Join)


@describe.register(CenterCrop)
def _(layer: CenterCrop, name: str = "") -> Description:
    return [{"kind": "center_crop", "size": layer.size}]


@describe.register(Crops)
def _(layer: Crops, name: str = "") -> Description:
    return [{"kind": "crops", "size": layer.size, "stride": layer.stride}]


@describe.register(Join)
def _(layer: Join, name: str = "") -> Description:
    return [{"kind": "join", "crops": layer.num_crops}]
