"""Splits: which images of a training set are held out as validation images.

Shapes: N images, C/H/W channel, height, width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import UsageError, unknown

SPLITS = ("train", "validation", "test", "train+validation")


def check_split(split: str) -> str:
    """The split itself where it is one of SPLITS; "train+validation" is the whole training set.

    Raises:
        UsageError: any other text.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS, see=", ".join(SPLITS), error=UsageError)
    return split


def last_images(
    split: str, x_NCHW: Tensor, y_N: Tensor, num_validation: int = 5000
) -> tuple[Tensor, Tensor]:
    """The part of a training set that a split means: its last images are the validation ones."""
    cut = max(len(y_N) - num_validation, 0)
    rows = {
        "train": slice(0, cut),
        "validation": slice(cut, None),
        "train+validation": slice(None),
    }[split]
    return x_NCHW[rows], y_N[rows]


def every_tenth(n: int) -> tuple[list[int], list[int]]:
    """Indices of the training and of the validation images: 9, 19, 29, ... are the latter.

    For sets that may be sorted by class, where the last images would be of one class only.
    """
    idx_N = torch.arange(n)
    return idx_N[idx_N % 10 != 9].tolist(), idx_N[idx_N % 10 == 9].tolist()
