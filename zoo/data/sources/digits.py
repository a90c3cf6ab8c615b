"""Digits: 1,797 real handwritten digits of 8x8 pixels and 17 grey levels, part of scikit-learn.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI repository).
"""

from __future__ import annotations

import torch
from einops import rearrange

from zoo.data.pinned import check_pinned
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import last_images

NUM_TRAINING = 1437  # the images after these are the test split
NUM_VALIDATION = 180
LEVELS = 16
MEAN, STD = (0.3058,), 0.3754  # of the train split
# Of the images before and after NUM_TRAINING, as content_sha256 computes it.
SHA256 = {
    "train": "d8e1376b233cb11e2e555aeaddfce75147b713ba36a6d009a66f72faa12e07c9",
    "test": "f75c3aaea02836ff5c50fbfac16346638c4f4ba3e1329f0b551f50efa3d67163",
}


@sources.register("digits")
def digits(split: str) -> Pixels:
    """Train = images 0 to 1256, validation = 1257 to 1436, test = 1437 to 1796; needs no files."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x_NCHW = rearrange(torch.as_tensor(pixels).to(torch.uint8), "n (h w) -> n 1 h w", h=8)
    y_N = torch.as_tensor(labels, dtype=torch.int64)
    part = "test" if split == "test" else "train"
    rows = slice(NUM_TRAINING, None) if part == "test" else slice(NUM_TRAINING)
    x_NCHW, y_N = x_NCHW[rows], y_N[rows]
    check_pinned("digits", part, x_NCHW, y_N, SHA256, "scikit-learn")
    if split != "test":
        x_NCHW, y_N = last_images(split, x_NCHW, y_N, NUM_VALIDATION)
    return Pixels("digits", split, x_NCHW, y_N, 10, MEAN, STD, LEVELS)
