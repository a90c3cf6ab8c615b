"""Random numbers that are a pure function of seed and epoch, whatever was drawn before."""

from __future__ import annotations

import numpy as np
import torch


def epoch_generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Generator on the CPU for one purpose ("order", "crop") in one epoch.

    On the CPU, so that the numbers do not depend on the device; mixed by SeedSequence, so that
    neighbouring seeds and epochs have nothing in common.

    Args:
        seed, epoch: at least 0.
    """
    entropy = [seed, epoch, int.from_bytes(purpose.encode(), "little")]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
