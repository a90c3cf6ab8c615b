"""The order of samples in an epoch.

Shapes: N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.seeds import epoch_generator


def epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Permutation idx_N of 0 .. n-1, a pure function of the arguments; int64, on the CPU.

    It needs no state: a run that is resumed at some epoch, and each process of a run, has it too.
    """
    return torch.randperm(n, generator=epoch_generator(seed, epoch, "order"))
