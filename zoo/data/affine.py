"""Small random rotations, shears, scalings and sub-pixel shifts of a batch, without state.

Shapes: N samples of the split, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.seeds import epoch_generator


@dataclass(frozen=True)
class Affine:
    """A uniformly drawn affine map of each image, bilinear, the edge repeated beyond it.

    What happens to a sample depends on seed, epoch and its index, and not on its batch.

    Args:
        rotate: largest angle, in degrees.
        shift: largest shift along each axis, in pixels.
        scale: largest relative change of size, along each axis of its own.
        shear: largest shear along the rows, in degrees.
    """

    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    shear: float = 0.0

    def __call__(self, x_BCHW: Tensor, idx_B: Tensor, *, seed: int, epoch: int, n: int) -> Tensor:
        """Augmented copy of float images; x_BCHW itself where there is nothing to do.

        Args:
            idx_B: indices of the samples in their split.
            n: number of samples of the split.
        """
        if not (self.rotate or self.shift or self.scale or self.shear):
            return x_BCHW
        draws_N6 = _draws(seed, epoch, n).to(x_BCHW)
        angle, shear, wide, high, right, down = draws_N6[idx_B.to(x_BCHW.device)].unbind(1)
        height, width = x_BCHW.shape[2:]
        angle, shear = angle * math.radians(self.rotate), shear * math.radians(self.shear)
        wide, high = 1 + wide * self.scale, 1 + high * self.scale
        # grid_sample counts in half images along each axis: from -1 at one edge to 1 at the other.
        right, down = right * 2 * self.shift / width, down * 2 * self.shift / height
        cos, sin = angle.cos(), angle.sin()
        x_per_y, y_per_x = height / width, width / height
        row_x_B3 = torch.stack([wide * cos, high * (shear.tan() * cos - sin) * x_per_y, right], 1)
        row_y_B3 = torch.stack([wide * sin * y_per_x, high * (shear.tan() * sin + cos), down], 1)
        maps_B23 = torch.stack([row_x_B3, row_y_B3], 1)
        grid_BHW2 = F.affine_grid(maps_B23, list(x_BCHW.shape), align_corners=False)
        moved_BCHW = F.grid_sample(x_BCHW, grid_BHW2, padding_mode="border", align_corners=False)
        # Rounding may leave [0, 1] by an ulp.
        return moved_BCHW.clamp(0, 1)


# One epoch is in use at a time.
@lru_cache(maxsize=2)
def _draws(seed: int, epoch: int, n: int) -> Tensor:
    """Uniform draws in [-1, 1] for all samples of an epoch."""
    return torch.rand(n, 6, generator=epoch_generator(seed, epoch, "affine")) * 2 - 1
