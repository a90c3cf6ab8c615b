"""CIFAR-10: 32x32 colour images, 50,000 for training and 10,000 for test (Krizhevsky 2009)."""

from __future__ import annotations

import torch
from einops import rearrange

from zoo.data.fetch import fetch
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import last_images

MEAN = (0.4914, 0.4822, 0.4465)
# The customary value: the std within an image, averaged. The std over all images is near 0.25.
STD = 0.2009


@sources.register("cifar10")
def cifar10(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/cifar10``; validation = the last 5,000 training images."""
    from torchvision.datasets import CIFAR10

    # Not pinned here; torchvision checks the md5 of each file before it unpickles it.
    dataset = fetch(
        "cifar10", lambda root, download: CIFAR10(root, train=split != "test", download=download)
    )
    x_NCHW = rearrange(torch.as_tensor(dataset.data), "n h w c -> n c h w").contiguous()
    y_N = torch.tensor(dataset.targets, dtype=torch.int64)
    if split != "test":
        x_NCHW, y_N = last_images(split, x_NCHW, y_N)
    return Pixels("cifar10", split, x_NCHW, y_N, 10, mean=MEAN, std=STD)
