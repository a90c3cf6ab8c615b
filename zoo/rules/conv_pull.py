"""Linear forms through a convolution: the transpose of F.conv2d, and its derivatives.

Shapes: N forms, I/O channels, H/W the convolution's input, h/w its output, K/L kernel; s, p stride
and padding; J, j residues modulo the strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ConvShape:
    """All of a convolution but its weight: strides, paddings, dilations and groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, layer: nn.Conv2d) -> ConvShape | None:
        """Of a layer; None for padding by name, which may be uneven."""
        if isinstance(layer.padding, str):
            return None
        return cls(layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]

    def forward(self, x_NIHW: Tensor, weight_OIKL: Tensor) -> Tensor:
        """The convolution itself."""
        return F.conv2d(
            x_NIHW, weight_OIKL, None, self.stride, self.padding, self.dilation, self.groups
        )

    def backward(
        self, rows_NOhw: Tensor, x_NIHW: Tensor, weight_OIKL: Tensor, of_x: bool
    ) -> Tensor:
        """Derivative of <rows, W * x> by x or by W; x counts for its shape alone where by x."""
        found = torch.ops.aten.convolution_backward(
            *(rows_NOhw, x_NIHW, weight_OIKL, None, self.stride, self.padding, self.dilation),
            *(False, [0, 0], self.groups, [of_x, not of_x, False]),
        )
        return found[0 if of_x else 1]

    def pull(self, rows_NOhw: Tensor, weight_OIKL: Tensor, shape: Sequence[int]) -> Tensor:
        """W^T row for each row: forms (N, I, H, W) over inputs of this shape, (I, H, W)."""
        # In the weights' dtype, whatever autocast made of the rows on their way here.
        with torch.autocast(rows_NOhw.device.type, enabled=False):
            return _Pull.apply(rows_NOhw.to(weight_OIKL.dtype), weight_OIKL, self, tuple(shape))

    def transpose(self, rows_NOhw: Tensor, weight_OIKL: Tensor, shape: Sequence[int]) -> Tensor:
        """The same, for values alone."""
        kernel = weight_OIKL.shape[2:]
        whole = all(k % s == 0 for k, s in zip(kernel, self.stride, strict=True))
        if self.stride != (1, 1) and whole and self.dilation == (1, 1) and self.groups == 1:
            return self._by_residues(rows_NOhw, weight_OIKL, shape)
        x_NIHW = rows_NOhw.new_zeros(1).expand(len(rows_NOhw), *shape)
        return self.backward(rows_NOhw, x_NIHW, weight_OIKL, of_x=True)

    def _by_residues(self, rows_NOhw: Tensor, weight_OIKL: Tensor, shape: Sequence[int]) -> Tensor:
        """Pixels by their residue modulo the stride: each class has a convolution of stride 1.

        y[t] = sum_a w[a] x[s t - p + a], so the pixel s q + j - p has the coefficient
        sum_b w[s b + j] row[q - b]. A library's own transpose takes up to three times as long.
        """
        (s_h, s_w), (p_h, p_w) = self.stride, self.padding
        kernels = rearrange(weight_OIKL, "o i (k J) (l j) -> (i J j) o k l", J=s_h, j=s_w)
        kernels = kernels.flip(2, 3)
        taps_h, taps_w = kernels.shape[2:]
        out = F.conv2d(rows_NOhw, kernels, None, 1, (taps_h - 1, taps_w - 1))
        out = rearrange(out, "n (i J j) h w -> n i (h J) (w j)", J=s_h, j=s_w)
        _, height, width = shape
        # Pixels behind the last that a kernel covers have no weight.
        missing_h, missing_w = p_h + height - out.shape[2], p_w + width - out.shape[3]
        if missing_h > 0 or missing_w > 0:
            out = F.pad(out, (0, max(0, missing_w), 0, max(0, missing_h)))
        return out[:, :, p_h : p_h + height, p_w : p_w + width]


class _Pull(torch.autograd.Function):
    """Its derivatives are a convolution of the form's gradient, and a weight's gradient.

    Left to autograd, the derivative of a transpose by its weight takes ten times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, rows_NOhw: Tensor, weight_OIKL: Tensor, conv: ConvShape, shape: Sequence[int]
    ) -> Tensor:
        ctx.save_for_backward(rows_NOhw, weight_OIKL)
        ctx.conv = conv
        return conv.transpose(rows_NOhw, weight_OIKL, shape)

    @staticmethod
    def backward(ctx: Any, grad_NIHW: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        rows_NOhw, weight_OIKL = ctx.saved_tensors
        of_rows, of_weight = ctx.needs_input_grad[:2]
        grad_NIHW = grad_NIHW.contiguous()
        by_rows = ctx.conv.forward(grad_NIHW, weight_OIKL) if of_rows else None
        by_weight = (
            ctx.conv.backward(rows_NOhw, grad_NIHW, weight_OIKL, of_x=False) if of_weight else None
        )
        return by_rows, by_weight, None, None
