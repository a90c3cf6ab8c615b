"""Channels: some of an image's channels.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.layers.selection import enter_selection
from zoo.rules import describe
from zoo.rules.describe import Description


class Channels(nn.Module):
    """y_j = x[picked_j]."""

    def __init__(self, *picked: int):
        super().__init__()
        self.picked = list(picked)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW[:, self.picked]

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.picked))


enter_selection(Channels)


@describe.register(Channels)
def _(layer: Channels, name: str = "") -> Description:
    return [{"kind": "channels", "picked": layer.picked}]
