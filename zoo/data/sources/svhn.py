"""SVHN, cropped digits: 32x32 colour images, 73,257 for training, 26,032 for test (Netzer 2011)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.fetch import fetch
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import last_images
from zoo.data.statistics import pixel_statistics


@sources.register("svhn")
def svhn(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/svhn``; validation = the last 5,000 training images."""
    training = _read("train")
    x_NCHW, y_N = _read("test") if split == "test" else last_images(split, *training)
    mean, std = pixel_statistics(last_images("train", *training)[0])
    return Pixels("svhn", split, x_NCHW, y_N, 10, mean, std)


def _read(part: str) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import SVHN

    # Not pinned here; torchvision checks the md5 of each file before it reads it.
    dataset = fetch("svhn", lambda root, download: SVHN(root, split=part, download=download))
    # torchvision gives a transposed view of the file's HWCN array.
    x_NCHW = torch.from_numpy(dataset.data).contiguous()
    return x_NCHW, torch.as_tensor(dataset.labels, dtype=torch.int64)
