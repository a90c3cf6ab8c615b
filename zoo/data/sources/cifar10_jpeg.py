"""CIFAR-10 re-encoded as JPEG (quality 95, chroma 4:2:0), read from parquet; not CIFAR-10 itself.

Its pixels differ from those of CIFAR-10, so what is measured on one says nothing about the other.
"""

from __future__ import annotations

from zoo.data.decode import common_layout, decode
from zoo.data.names import data_root
from zoo.data.pinned import check_pinned
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.sources.cifar10 import MEAN, STD
from zoo.data.splits import last_images
from zoo.errors import NotFoundError

# Of the decoded pixels and labels of a whole part, as content_sha256 computes it.
SHA256 = {
    "train": "262de416891ccc731e442397c177978e0e91f0e65a5fa42ef787625310433cc3",
    "test": "368acd9bec14a771398553fc7641af5b736925470bb608f9823173028dcf0d59",
}


@sources.register("cifar10_jpeg")
def cifar10_jpeg(split: str) -> Pixels:
    """Files in ``$ZOO_DATA/cifar10-jpeg``; validation = the last 5,000 training images."""
    # pyarrow is slow to import, and only parquet files need it.
    from zoo.data.parquet import read_parquet

    part = "test" if split == "test" else "train"
    root = data_root() / "cifar10-jpeg"
    files = sorted(root.glob(f"{part}-*.parquet"))
    if not files:
        raise NotFoundError(
            f"dataset 'cifar10_jpeg' is not in {root}: there is no {part}-*.parquet\n"
            "  it is not downloaded: set ZOO_DATA to a folder that has cifar10-jpeg/"
        )
    encoded = read_parquet(files)
    x_NCHW, y_N = decode(encoded.images, common_layout(encoded.images)), encoded.y_N
    # Another JPEG decoder makes other pixels of the right files.
    check_pinned("cifar10_jpeg", part, x_NCHW, y_N, SHA256, root)
    if split != "test":
        x_NCHW, y_N = last_images(split, x_NCHW, y_N)
    return Pixels("cifar10_jpeg", split, x_NCHW, y_N, 10, mean=MEAN, std=STD)
