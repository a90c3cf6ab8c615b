"""Decode image files (PNG, JPEG, ...) of one size into one uint8 tensor.

Shapes: N images, C/H/W channel, height, width.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from zoo.errors import IntegrityError, UsageError

# Pillow knows fifty formats; for one of them (EPS) it runs another program on the file.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Photographs shrink to a tenth, drawings to a fiftieth; a bomb to a thousandth.
_MAX_RATIO, _ALWAYS_FINE = 200, 1 << 30


@dataclass(frozen=True)
class EncodedImage:
    """An image not yet decoded: where it comes from (for messages), and its file or its bytes."""

    where: str
    content: Path | bytes


@dataclass(frozen=True)
class Layout:
    """What the images of a data set have in common; mode is L (one grey channel) or RGB."""

    height: int
    width: int
    mode: str


def common_layout(images: Sequence[EncodedImage]) -> Layout:
    """Size and mode of the images, of which only the headers are read; grey only if all are.

    Raises:
        UsageError: the first image of another size than the one before it, or not of 8 bits.
        IntegrityError: a file that is not an image.
    """
    size: tuple[int, int] | None = None
    grey = True
    for image in images:
        with _opened(image) as file:
            found, mode = file.size, file.mode
        if size is not None and found != size:
            raise UsageError(
                f"images are not of one size: {image.where} is {found[0]}x{found[1]}, "
                f"those before it {size[0]}x{size[1]}\n"
                "  resize or crop all images to one size first"
            )
        if mode.startswith(("I", "F")):
            raise UsageError(
                f"{image.where} has more than 8 bits a channel (mode {mode})\n"
                "  convert the images to 8 bits first, so that you choose how to round"
            )
        size, grey = found, grey and mode == "L"
    assert size is not None, "a layout needs an image"
    return Layout(height=size[1], width=size[0], mode="L" if grey else "RGB")


def decode(images: Sequence[EncodedImage], layout: Layout) -> Tensor:
    """Pixels x_NCHW of images that have a layout; an alpha channel is dropped.

    Raises:
        IntegrityError: a file that is cut short or broken, or a few bytes that mean gigabytes.
    """
    channels = 1 if layout.mode == "L" else 3
    encoded = sum(map(_size, images))
    decoded = len(images) * layout.height * layout.width * channels
    if decoded > max(_ALWAYS_FINE, _MAX_RATIO * encoded):
        raise IntegrityError(
            f"{len(images):,} images such as {images[0].where} take {encoded:,} bytes, and "
            f"{decoded:,} when decoded\n"
            "  no pictures shrink that much: the files are damaged or a trap"
        )
    x_NHWC = np.empty((len(images), layout.height, layout.width, channels), np.uint8)
    for i, image in enumerate(images):
        with _opened(image) as file:
            same_mode = file if file.mode == layout.mode else file.convert(layout.mode)
            x_NHWC[i] = np.atleast_3d(np.asarray(same_mode))  # a grey image has no channel axis
    return rearrange(torch.from_numpy(x_NHWC), "n h w c -> n c h w").contiguous()


@contextmanager
def _opened(image: EncodedImage) -> Iterator[Image.Image]:
    content = image.content
    try:
        if isinstance(content, Path) and not content.is_file():  # a pipe would be waited for
            raise OSError("it is not a file")
        source = content if isinstance(content, Path) else io.BytesIO(content)
        with Image.open(source, formats=_FORMATS) as file:
            yield file
    except Exception as error:  # PIL says "broken" with a different class for each format
        raise IntegrityError(
            f"{image.where} cannot be decoded: {error}\n  the file is damaged or is not an image"
        ) from error


def _size(image: EncodedImage) -> int:
    content = image.content
    return content.stat().st_size if isinstance(content, Path) else len(content)
