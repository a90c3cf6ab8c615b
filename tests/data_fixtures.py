"""Small data sets on disk, in the layouts that the loaders read, and a check of any data set."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from zoo.data.load import load_data
from zoo.data.splits import SPLITS


def random_images(n: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random uint8 images, of shape (n, *shape)."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def png(image: np.ndarray) -> bytes:
    """PNG file of an (H, W) or (H, W, 3) image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path, images: np.ndarray, labels: Sequence[int]) -> None:
    """One PNG file an image, in one folder a class; the names sort in the order given."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:04d}.png").write_bytes(png(image))


def write_parquet(file: Path, images: np.ndarray, labels: Sequence[int | None]) -> None:
    """Hugging Face layout, with PNG bytes."""
    rows = [{"bytes": png(image), "path": None} for image in images]
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": rows, "label": pa.array(labels, pa.int64())}), file)


def write_mnist(raw: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The original idx files of MNIST; part is train or t10k."""
    raw.mkdir(parents=True, exist_ok=True)
    shape = np.array([2051, *images.shape], ">i4").tobytes()
    (raw / f"{part}-images-idx3-ubyte").write_bytes(shape + images.tobytes())
    head = np.array([2049, len(labels)], ">i4").tobytes()
    (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())


def write_cifar_batch(file: Path, x_NCHW: np.ndarray, labels: Sequence[int]) -> str:
    """A batch file of CIFAR-10; returns its md5, which torchvision checks."""
    write_pickle(file, {"data": x_NCHW.reshape(len(labels), -1), "labels": list(labels)})
    return md5(file)


def write_pickle(file: Path, content: object) -> None:
    """A pickle of the protocol that the files of CIFAR-10 have."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(content, protocol=2))


def md5(file: Path) -> str:
    """Hex md5 of a file."""
    return hashlib.md5(file.read_bytes()).hexdigest()


def assert_splits_whole(name: str) -> None:
    """Train and validation are disjoint parts that make up the whole training set."""
    train, validation, both = (load_data(name, split) for split in SPLITS if split != "test")
    assert torch.equal(torch.cat([train.x_NCHW, validation.x_NCHW]), both.x_NCHW)
    assert torch.equal(torch.cat([train.y_N, validation.y_N]), both.y_N)
    assert train.mean == validation.mean == both.mean == load_data(name, "test").mean
