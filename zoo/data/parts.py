"""From the parts of a user's own data set, still encoded, to the pixels of one split.

Shapes: N images, C/H/W channel, height, width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.data.decode import EncodedImage, common_layout, decode
from zoo.data.pixels import Pixels
from zoo.data.splits import every_tenth
from zoo.data.statistics import pixel_statistics
from zoo.errors import NotFoundError


@dataclass(frozen=True)
class Part:
    """Encoded images and their labels, y_N int64."""

    images: Sequence[EncodedImage]
    y_N: Tensor

    def rows(self, indices: Sequence[int]) -> Part:
        """The images of the given indices."""
        return Part([self.images[i] for i in indices], self.y_N[list(indices)])


def pixels_of_parts(name: str, split: str, parts: Mapping[str, Part], num_classes: int) -> Pixels:
    """Decode one split of the parts train, validation and test, of which any may be absent.

    Every tenth training image is a validation image where there is no validation part. Mean and
    std are those of the train split, or of all images where there is none.

    Raises:
        NotFoundError: the parts do not have this split.
        UsageError: images of several sizes.
        IntegrityError: a broken image.
    """
    parts = {key: part for key, part in parts.items() if part.images}
    if "train" in parts and "validation" not in parts:
        train, validation = every_tenth(len(parts["train"].images))
        if validation:
            held_out = parts["train"].rows(validation)
            parts |= {"train": parts["train"].rows(train), "validation": held_out}
    wanted = split.split("+")
    if not set(wanted) <= set(parts):
        raise NotFoundError(
            f"dataset {name!r} has no images for the split {split!r}\n"
            f"  it has: {', '.join(sorted(parts)) or 'no images at all'}"
        )
    layout = common_layout([image for part in parts.values() for image in part.images])
    measured = ["train"] if "train" in parts else sorted(parts)
    x_NCHW = {key: decode(parts[key].images, layout) for key in {*wanted, *measured}}
    mean, std = pixel_statistics(torch.cat([x_NCHW[key] for key in measured]))
    return Pixels(
        name,
        split,
        torch.cat([x_NCHW[key] for key in wanted]),
        torch.cat([parts[key].y_N for key in wanted]),
        num_classes,
        mean,
        std,
    )
