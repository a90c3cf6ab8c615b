"""Running means of the net that is kept, instead of those that training left behind.

Training collects them at its own p and with inputs dropped; the net that is kept runs at p = inf
on all inputs, where its activations have other means (arXiv:2210.01787, reference implementation).
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
from torch import nn

from zoo.layers import MeanShift, exponent
from zoo.training.batches import Batches

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@torch.no_grad()
def recalibrated(model: AnyModule, batches: Batches, epoch: int, num_batches: int) -> AnyModule:
    """A copy of the net in eval mode whose running means are those of p = inf over some batches.

    Each is the mean over the batches seen so far of a batch's mean, behind layers that are centred
    by the batch's own means; over all processes, as MeanShift's means are. Nothing is drawn and the
    net that goes on training is left alone, so that it trains to the same bits.

    Args:
        epoch: from 0; the batches are its first, augmented as in training.
        num_batches: at most an epoch's are taken.
    """
    copied = copy.deepcopy(model).eval()
    shifts = [layer for layer in copied.modules() if isinstance(layer, MeanShift)]
    before = [shift.momentum for shift in shifts]
    with exponent(copied, math.inf):
        for i in range(min(num_batches, batches.steps_per_epoch)):
            for shift in shifts:
                shift.train().momentum = 1 / (i + 1)
            copied(batches(epoch * batches.steps_per_epoch + i)[0])
    for shift, momentum in zip(shifts, before, strict=True):
        shift.eval().momentum = momentum
    return copied
