"""Mean and scale of images, for a normalising first layer.

Shapes: N images, C/H/W channel, height, width, V byte values (256).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pixel_statistics(x_NCHW: Tensor, levels: int = 255) -> tuple[tuple[float, ...], float]:
    """Mean of each channel and one std = sqrt(mean over channels of the variance), in pixel units.

    The sums are exact (they run over a histogram, in integers), so the result does not depend on
    the device or on the order of the images.

    Args:
        x_NCHW: uint8, of at least one image; the byte v is the number v / levels.

    Returns:
        The means, and the std; 1 in place of a std of 0, which nothing could be divided by.
    """
    means, variances = [], []
    for x_NHW in x_NCHW.unbind(1):
        counts = torch.bincount(x_NHW.flatten(), minlength=256).tolist()
        n = sum(counts)
        total = sum(v * count for v, count in enumerate(counts))
        squares = sum(v * v * count for v, count in enumerate(counts))
        means.append(total / (n * levels))
        variances.append((n * squares - total * total) / (n * levels) ** 2)
    return tuple(means), math.sqrt(sum(variances) / len(variances)) or 1.0
