"""Names of data sets and the folder they lie in; free of torch, so quick to import."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import UsageError, unknown

DATASETS: dict[str, str] = {
    "digits": "8x8 grey handwritten digits that come with scikit-learn; needs no download",
    "mnist": "28x28 grey handwritten digits",
    "fashion_mnist": "28x28 grey pictures of clothes",
    "cifar10": "32x32 colour pictures of ten kinds of objects",
    "cifar10_jpeg": "CIFAR-10 re-encoded as JPEG; other pixels, so other results than cifar10",
    "svhn": "32x32 colour pictures of house numbers",
    "tiny_imagenet": "64x64 colour pictures of 200 kinds of things; unpack the archive yourself",
}

# What must be said beside every figure that is measured on them.
CAVEATS: dict[str, str] = {
    "cifar10_jpeg": "cifar10_jpeg is CIFAR-10 re-encoded as JPEG: figures on it are none of the "
    "CIFAR-10 benchmark.",
}

# Data sets that are the user's own files: the name of the source, then a path.
PATH_SOURCES: dict[str, str] = {
    "folder": "folder:PATH, image folders: PATH/train/<class>/*, PATH/test/<class>/*",
    "parquet": "parquet:PATH, a parquet file or a folder of them, Hugging Face layout",
}


def check_data_name(text: str) -> str:
    """The text itself where it is a name of DATASETS, ``folder:PATH`` or ``parquet:PATH``.

    Raises:
        UsageError: any other text.
    """
    source, colon, path = text.partition(":")
    if text in DATASETS or (colon and path and source in PATH_SOURCES):
        return text
    known = [*DATASETS, *(f"{name}:PATH" for name in PATH_SOURCES)]
    raise unknown("dataset", text, known, see="zoo certify --help", error=UsageError)


def data_root() -> Path:
    """The folder that holds the data sets: ``$ZOO_DATA``, else ``~/.cache/zoo/data``."""
    return Path(os.environ.get("ZOO_DATA") or "~/.cache/zoo/data").expanduser()
