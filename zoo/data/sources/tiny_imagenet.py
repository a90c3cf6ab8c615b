"""Tiny ImageNet: 64x64 colour images of 200 classes, 100,000 for training (Le and Yang 2015).

The labels of its own test part were never published: as everywhere, its validation part is the test
split here, and every tenth training image is a validation image.

Shapes: N images.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from zoo.data.decode import EncodedImage, Layout, common_layout, decode
from zoo.data.names import data_root
from zoo.data.parts import Part
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.data.splits import every_tenth
from zoo.errors import IntegrityError, NotFoundError, UsageError

MEAN = (0.4802, 0.4481, 0.3975)
STD = 0.2276  # the customary value, as for CIFAR-10
_LAYOUT = Layout(height=64, width=64, mode="RGB")


@sources.register("tiny_imagenet")
def tiny_imagenet(split: str) -> Pixels:
    """The unpacked archive in ``$ZOO_DATA/tiny-imagenet-200``; labels are rows of wnids.txt."""
    root = data_root() / "tiny-imagenet-200"
    classes = root / "wnids.txt"
    if not classes.is_file():
        raise NotFoundError(
            f"dataset 'tiny_imagenet' is not in {root}: there is no wnids.txt\n"
            "  it is not downloaded: unpack tiny-imagenet-200.zip and set ZOO_DATA to its folder"
        )
    label_of = {name: i for i, name in enumerate(classes.read_text(encoding="utf-8").split())}
    part = _test(root, label_of) if split == "test" else _train(root, label_of)
    if split != "test":
        train, validation = every_tenth(len(part.images))
        rows = {"train": train, "validation": validation, "train+validation": train + validation}
        part = part.rows(rows[split])
    if not part.images:
        raise NotFoundError(f"dataset 'tiny_imagenet' in {root} has no images for {split!r}")
    found = common_layout(part.images)
    if (found.height, found.width) != (_LAYOUT.height, _LAYOUT.width):
        raise UsageError(
            f"dataset 'tiny_imagenet' in {root} has images of {found.width}x{found.height}\n"
            "  it wants the original files of 64x64"
        )
    x_NCHW = decode(part.images, _LAYOUT)
    return Pixels("tiny_imagenet", split, x_NCHW, part.y_N, len(label_of), mean=MEAN, std=STD)


def _train(root: Path, label_of: dict[str, int]) -> Part:
    found = [
        (file, label)
        for name, label in label_of.items()
        for file in sorted((root / "train" / name / "images").glob("*.JPEG"))
    ]
    return _part(found)


def _test(root: Path, label_of: dict[str, int]) -> Part:
    listed = root / "val" / "val_annotations.txt"
    if not listed.is_file():
        raise NotFoundError(f"dataset 'tiny_imagenet' has no {listed}, which holds the labels")
    with listed.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    unknown = sorted({row[1] if len(row) > 1 else row[0] for row in rows} - label_of.keys())
    if unknown:
        raise IntegrityError(
            f"{listed} names classes that wnids.txt has not, {unknown[0][:60]!r} for one\n"
            "  unpack the archive again"
        )
    images = root / "val" / "images"
    return _part([(images / Path(row[0]).name, label_of[row[1]]) for row in rows])


def _part(found: list[tuple[Path, int]]) -> Part:
    images = [EncodedImage(str(file), file) for file, _ in found]
    return Part(images, torch.tensor([label for _, label in found], dtype=torch.int64))
