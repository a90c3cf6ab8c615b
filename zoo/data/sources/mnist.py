"""MNIST and Fashion-MNIST: 28x28 grey images, 60,000 for training and 10,000 for test.

LeCun et al. 1998; Xiao et al. 2017, arXiv:1708.07747.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from zoo.data.fetch import fetch
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import last_images


@sources.register("mnist")
def mnist(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/mnist/MNIST/raw``; validation = the last 5,000 training images."""
    x_NCHW, y_N = _read("mnist", "MNIST", split)
    return Pixels("mnist", split, x_NCHW, y_N, 10, mean=(0.1307,), std=0.3081)


@sources.register("fashion_mnist")
def fashion_mnist(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/fashion_mnist/FashionMNIST/raw``; validation as for mnist."""
    x_NCHW, y_N = _read("fashion_mnist", "FashionMNIST", split)
    return Pixels("fashion_mnist", split, x_NCHW, y_N, 10, mean=(0.2860,), std=0.3520)


def _read(name: str, class_name: str, split: str) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    dataset_class = getattr(datasets, class_name)
    dataset = fetch(
        name, lambda root, download: dataset_class(root, train=split != "test", download=download)
    )
    x_NCHW = rearrange(dataset.data, "n h w -> n 1 h w")
    y_N = dataset.targets.to(torch.int64)
    return (x_NCHW, y_N) if split == "test" else last_images(split, x_NCHW, y_N)
