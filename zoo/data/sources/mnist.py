"""MNIST and Fashion-MNIST: 28x28 grey images, 60,000 for training and 10,000 for test.

LeCun et al. 1998; Xiao et al. 2017, arXiv:1708.07747.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from zoo.data.fetch import fetch
from zoo.data.names import data_root
from zoo.data.pinned import check_pinned
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import last_images
from zoo.errors import IntegrityError

# Of the pixels and labels of a whole part, as content_sha256 computes it.
SHA256 = {
    "train": "71d3be42f93ad20da73bb4a9744d0bebdaa6832be56dc010e21940e72c4c8b1e",
    "test": "4718853ea946af656684509414983beff2e65cf414265c27966161014c003b8b",
}
_MAX_BYTES = 16 + 60_000 * 28 * 28  # of the largest file of each


@sources.register("mnist")
def mnist(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/mnist/MNIST/raw``; validation = the last 5,000 training images."""
    x_NCHW, y_N = _read("mnist", "MNIST", split, SHA256)
    return Pixels("mnist", split, x_NCHW, y_N, 10, mean=(0.1307,), std=0.3081)


@sources.register("fashion_mnist")
def fashion_mnist(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/fashion_mnist/FashionMNIST/raw``; validation as for mnist."""
    # Not pinned: its pixels have not been hashed from the original files yet.
    x_NCHW, y_N = _read("fashion_mnist", "FashionMNIST", split, None)
    return Pixels("fashion_mnist", split, x_NCHW, y_N, 10, mean=(0.2860,), std=0.3520)


def _read(
    name: str, class_name: str, split: str, pins: Mapping[str, str] | None
) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    # Without this it would prefer MNIST/processed/*.pt, files of torch 0.4, and unpickle them.
    overrides = {"_check_legacy_exist": lambda self: False}
    dataset_class = type(class_name, (getattr(datasets, class_name),), overrides)
    root, part = data_root() / name, "test" if split == "test" else "train"
    _check_sizes(root / class_name / "raw")
    dataset = fetch(
        name, lambda root, download: dataset_class(root, train=part == "train", download=download)
    )
    x_NCHW = rearrange(dataset.data, "n h w -> n 1 h w")
    y_N = dataset.targets.to(torch.int64)
    if pins is not None:
        check_pinned(name, part, x_NCHW, y_N, pins, root)
    if len(y_N) != len(x_NCHW) or (len(y_N) and int(y_N.max()) > 9):
        raise IntegrityError(
            f"dataset {name!r} in {root} has labels that do not belong to its images\n"
            "  delete the folder to download it again"
        )
    return (x_NCHW, y_N) if part == "test" else last_images(split, x_NCHW, y_N)


def _check_sizes(raw: Path) -> None:
    """Refuse files that torchvision would read whole into memory, however large they are."""
    for file in raw.glob("*-ubyte"):
        size = file.stat().st_size
        if size > _MAX_BYTES:
            raise IntegrityError(
                f"{file} has {size:,} bytes, more than any file of its data set\n"
                "  delete it to download it again"
            )
