"""Random crops and flips of a batch, on the device it is on, without state.

Shapes: N samples of the split, B batch, C/H/W channel, height, width, S all H W places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import repeat
from torch import Tensor

from zoo.data.seeds import epoch_generator


@dataclass(frozen=True)
class Augment:
    """Crop after repeating the edge by ``pad`` pixels, then flip left-right with probability 1/2.

    What happens to a sample depends on seed, epoch and its index, and not on its batch.
    """

    pad: int = 0
    flip: bool = False

    def __call__(self, x_BCHW: Tensor, idx_B: Tensor, *, seed: int, epoch: int, n: int) -> Tensor:
        """Augmented copy of x_BCHW, of any dtype; x_BCHW itself where there is nothing to do.

        Args:
            idx_B: indices of the samples in their split.
            n: number of samples of the split.
        """
        if not self.pad and not self.flip:
            return x_BCHW
        shift_N2, flip_N = _draws(seed, epoch, n, self.pad, x_BCHW.device)
        idx_B = idx_B.to(x_BCHW.device)
        rows_BH, cols_BW = (
            _crop(length, shift_B, self.pad)
            for length, shift_B in zip(x_BCHW.shape[2:], shift_N2[idx_B].unbind(1), strict=True)
        )
        if self.flip:
            cols_BW = torch.where(flip_N[idx_B][:, None], cols_BW.flip(1), cols_BW)
        source_BHW = rows_BH[:, :, None] * x_BCHW.shape[3] + cols_BW[:, None, :]
        source_BCS = repeat(source_BHW, "b h w -> b c (h w)", c=x_BCHW.shape[1])
        return x_BCHW.flatten(2).gather(2, source_BCS).view_as(x_BCHW)


def _crop(length: int, shift_B: Tensor, pad: int) -> Tensor:
    """Source position of each output position: clamping repeats the edge, so nothing is padded."""
    positions_L = torch.arange(length, device=shift_B.device)
    return (positions_L + shift_B[:, None] - pad).clamp(0, length - 1)


# One epoch is in use at a time; two for a run that looks at a second split in between.
@lru_cache(maxsize=2)
def _draws(seed: int, epoch: int, n: int, pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Crop corners shift_N2 in 0 .. 2 pad and flips flip_N of all samples in an epoch."""
    crop, flip = (epoch_generator(seed, epoch, purpose) for purpose in ("crop", "flip"))
    shift_N2 = torch.randint(0, 2 * pad + 1, (n, 2), generator=crop)
    flip_N = torch.randint(0, 2, (n,), generator=flip).bool()
    return shift_N2.to(device), flip_N.to(device)
