"""Flip: an image seen in a mirror.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.layers.selection import enter_selection
from zoo.rules import describe
from zoo.rules.describe import Description


class Flip(nn.Module):
    """y[c, h, w] = x[c, h, W - 1 - w]: left and right change places."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.flip(3)


enter_selection(Flip)


@describe.register(Flip)
def _(layer: Flip, name: str = "") -> Description:
    return [{"kind": "flip"}]
