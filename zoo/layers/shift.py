"""Shift: an image moved by whole pixels, its edge repeated where it leaves a gap.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.layers.selection import enter_selection
from zoo.rules import describe
from zoo.rules.describe import Description


class Shift(nn.Module):
    """y[c, h, w] = x[c, h - rows, w - columns], indices clamped to the image.

    Args:
        rows, columns: how far down and to the right the image moves; negative: up, left.
    """

    def __init__(self, rows: int, columns: int):
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x_BCHW: Tensor) -> Tensor:
        _, _, height, width = x_BCHW.shape
        at_H = (torch.arange(height, device=x_BCHW.device) - self.rows).clamp(0, height - 1)
        at_W = (torch.arange(width, device=x_BCHW.device) - self.columns).clamp(0, width - 1)
        return x_BCHW[:, :, at_H[:, None], at_W]

    def extra_repr(self) -> str:
        return f"rows={self.rows}, columns={self.columns}"


enter_selection(Shift)


@describe.register(Shift)
def _(layer: Shift, name: str = "") -> Description:
    return [{"kind": "shift", "rows": layer.rows, "columns": layer.columns}]
