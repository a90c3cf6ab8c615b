"""Rules of torch's MaxPool2d.

Shapes: B batch, C channels, H/W image, h/w output, K entries of a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules.describe import Description, describe
from zoo.rules.drift import drift
from zoo.rules.interval import interval
from zoo.rules.picks import Picks, enter_picks


def _pooled(layer: nn.MaxPool2d, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima and the places in H * W where they are found, always of the window."""
    return F.max_pool2d(
        *(x_BCHW, layer.kernel_size, layer.stride, layer.padding, layer.dilation),
        ceil_mode=layer.ceil_mode,
        return_indices=True,
    )


def _check_values_only(layer: nn.MaxPool2d) -> None:
    if layer.return_indices:
        raise UsageError("MaxPool2d with return_indices has no bounds: it returns two values")


def _check_windows(layer: nn.MaxPool2d, x_BCHW: Tensor) -> None:
    """Refuse a layer of two values, and windows without an entry of the image."""
    _check_values_only(layer)
    # SOUND: the largest of no entry is -inf, and the place of it lies outside of the image.
    if bool(layer(torch.zeros(1, 1, *x_BCHW.shape[2:], device="cpu")).isneginf().any()):
        raise UsageError(
            f"MaxPool2d has windows that lie wholly in its padding at {tuple(x_BCHW.shape[2:])} "
            "entries, and makes -inf of them\n  pad or dilate less"
        )


@interval.register(nn.MaxPool2d)
def _(layer: nn.MaxPool2d, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    _check_windows(layer, lower)
    return layer(lower), layer(upper)  # exact, and increasing


def largest_entries(layer: nn.MaxPool2d, ends: Ends) -> Picks:
    """From below the entry with the largest lower end; from above the largest upper end, or that
    entry itself where no other can be larger."""
    lower, upper = ends
    _check_windows(layer, lower)
    best, at = _pooled(layer, lower)
    upper_BCKhw = _windows(layer, upper, at.shape[2:], -math.inf)
    place_HW = torch.arange(lower.shape[2:].numel(), device=at.device, dtype=torch.float64)
    place_HW = rearrange(place_HW, "(h w) -> 1 1 h w", h=lower.shape[2])
    place_K = _windows(layer, place_HW, at.shape[2:], -1.0)
    others = torch.where(place_K == at[:, :, None], -math.inf, upper_BCKhw).amax(2)
    # SOUND: written so that NaN ends leave the constant, which is NaN.
    alone = best >= others
    slope = alone.to(lower.dtype)
    offset = torch.where(alone, 0.0, layer(upper))
    channel_C = torch.arange(lower.shape[1], device=at.device)
    entry = rearrange(channel_C, "c -> c 1 1") * place_HW.numel() + at
    lines = torch.ones_like(slope), torch.zeros_like(slope), slope, offset
    return Picks(*(rearrange(each, "b c h w -> b (c h w)") for each in (entry, *lines)))


def _sizes(layer: nn.MaxPool2d) -> list[tuple[int, int]]:
    """Kernel, stride, padding and dilation, each down and across."""
    given: Sequence[Any] = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return [(each, each) if isinstance(each, int) else (each[0], each[1]) for each in given]


def _windows(layer: nn.MaxPool2d, x_BCHW: Tensor, out: Sequence[int], border: float) -> Tensor:
    """All entries of each window, (B, C, K, h, w), `border` where it leaves the image."""
    size, stride, pad, dilation = _sizes(layer)
    frame = []
    for i in (1, 0):  # of the width first, as torch pads
        needed = (out[i] - 1) * stride[i] + dilation[i] * (size[i] - 1) + 1
        frame += [pad[i], needed - pad[i] - x_BCHW.shape[2 + i]]
    framed = F.pad(x_BCHW, frame, value=border)
    patches = F.unfold(framed, size, dilation, stride=stride)
    shape = {"c": x_BCHW.shape[1], "h": out[0]}
    return rearrange(patches, "b (c k) (h w) -> b c k h w", **shape)


@enter_picks(nn.MaxPool2d)
def _(layer: nn.MaxPool2d, ends: Ends, rigorous: bool) -> Picks:
    return largest_entries(layer, ends)  # exact, and so are its lines


@drift.register(nn.MaxPool2d)
def _(
    layer: nn.MaxPool2d, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    # SOUND: any entry of a window may be the one that counts.
    return layer(errors[0])


@describe.register(nn.MaxPool2d)
def _(layer: nn.MaxPool2d, name: str = "") -> Description:
    _check_values_only(layer)
    sizes = _sizes(layer)
    if any(a != b for a, b in sizes) or sizes[3] != (1, 1) or layer.ceil_mode:
        raise UsageError("describe: only square, plain max-pooling has a kind")
    (size, _), (stride, _), (padding, _), _ = sizes
    return [{"kind": "max_pool", "size": size, "stride": stride, "padding": padding}]
