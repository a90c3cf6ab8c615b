"""``folder:PATH``: the user's own image files, in one folder a class."""

from __future__ import annotations

from pathlib import Path

import torch

from zoo.data.decode import EncodedImage
from zoo.data.parts import Part, pixels_of_parts
from zoo.data.pixels import Pixels
from zoo.data.sources import sources
from zoo.errors import NotFoundError, UsageError


@sources.register("folder")
def folder(split: str, path: str) -> Pixels:
    """PATH/train/<class>/*, PATH/test/<class>/*, PATH/validation/<class>/*; else a test split.

    ``val`` is another name of the test part, or of the validation part where there is a test part.
    """
    folders = _folders_of_parts(Path(path).expanduser())
    classes: dict[str, list[str]] = {}
    parts: dict[str, Part] = {}
    for key, part_folder in folders.items():
        classes[key], parts[key] = _read_part(part_folder)
    # Labels are positions in the sorted class names: another list of classes means other labels.
    first, names = next(iter(classes.items()))
    for key, other in classes.items():
        if other != names:
            odd = sorted(set(other) ^ set(names))
            raise UsageError(
                f"classes of {folders[first]} and {folders[key]} differ: {', '.join(odd[:5])}\n"
                "  each needs a folder for each class; it may be empty"
            )
    return pixels_of_parts(f"folder:{path}", split, parts, len(names))


def _folders_of_parts(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        raise NotFoundError(
            f"there is no folder {root}\n"
            "  folder:PATH wants PATH/train/<class>/* and PATH/test/<class>/*"
        )
    found = {key: root / key for key in ("train", "validation", "test", "val")}
    found = {key: path for key, path in found.items() if path.is_dir()}
    if "val" in found:
        val = found.pop("val")
        found.setdefault("validation" if "test" in found else "test", val)
    return found or {"test": root}


def _read_part(root: Path) -> tuple[list[str], Part]:
    # torchvision is slow to import.
    from torchvision.datasets import ImageFolder

    try:
        files = ImageFolder(root, allow_empty=True)
    except FileNotFoundError:
        raise NotFoundError(
            f"{root} has no class folders\n  it wants images at {root}/<class>/*"
        ) from None
    images = [EncodedImage(file, Path(file)) for file, _ in files.samples]
    return files.classes, Part(images, torch.tensor(files.targets, dtype=torch.int64))
