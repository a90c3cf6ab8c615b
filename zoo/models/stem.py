"""Stem: features of an image that a distance net cannot make itself, all 1-Lipschitz in l_inf.

A distance follows one coordinate at a time; means of pixels, contrasts and colours are sums. Each
here is made of half-sums and half-differences, so its gain is exactly 1, or picks pixels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from zoo.errors import UsageError
from zoo.layers import Channels, Concat, HalfDifference, HalfSum, LocalMax, LocalMin


def stem(features: Sequence[str], in_chans: int) -> Concat:
    """Flat features side by side, in the order of their names.

    Args:
        features: "raw", or a kind and the side of the squares it is taken over (1: pixels):
            mean2, difference2 (of neighbouring means, down and across), max2, min2, and of colour
            images luma2, opponent2 (two contrasts of colours).

    Raises:
        UsageError: a name that is none, or colours of images without three channels.
    """
    return Concat(nn.Sequential(*_layers(name, in_chans), nn.Flatten()) for name in features)


def _layers(name: str, in_chans: int) -> list[nn.Module]:
    if name == "raw":
        return []
    kind, digits = re.fullmatch(r"([a-z]+)([0-9]+)", name, re.ASCII).groups()  # pyright: ignore
    size = int(digits)
    if kind in ("luma", "opponent") and in_chans != 3:
        raise UsageError(f"stem: {name} needs images of 3 channels, these have {in_chans}")
    match kind:
        case "max":
            return [LocalMax(size)]
        case "min":
            return [LocalMin(size)]
        case "difference":
            across = Concat(nn.Sequential(HalfDifference(dim), nn.Flatten()) for dim in (2, 3))
            return [*_mean(size), across]
        case "luma":
            return [*_mean(size), *_luma()]
        case "opponent":
            return [*_mean(size), Concat([_red_green(), _yellow_blue()])]
    return _mean(size)


def _mean(size: int) -> list[nn.Module]:
    """Means of size x size squares, a power of two."""
    halvings = size.bit_length() - 1
    return [layer for _ in range(halvings) for layer in (HalfSum(2), HalfSum(3))]


def _luma() -> list[nn.Module]:
    """((r + b) / 2 + g) / 2."""
    red_blue = nn.Sequential(Channels(0, 2), HalfSum(1))
    return [Concat([red_blue, Channels(1)]), HalfSum(1)]


def _red_green() -> nn.Module:
    """(r - g) / 2."""
    return nn.Sequential(Channels(1, 0), HalfDifference(1))


def _yellow_blue() -> nn.Module:
    """((r + g) / 2 - b) / 2."""
    red_green = nn.Sequential(Channels(0, 1), HalfSum(1))
    return nn.Sequential(Concat([Channels(2), red_green]), HalfDifference(1))
