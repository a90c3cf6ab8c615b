"""What all figures share: colours, grid, and how an image is written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.storage.atomic import make_folder, reporting, write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by readers of every kind of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def colour_of(i: int) -> str:
    """Colour of the i-th line; they repeat after six."""
    return _COLOURS[i % len(_COLOURS)]


def grid(axes: Axes) -> None:
    """Hairlines behind the curves."""
    axes.grid(linewidth=0.3)


def save(figure: Figure, path: str | Path) -> Path:
    """Write an image, whole or not at all, and the folder for it if there is none.

    Raises:
        UsageError: a suffix that is no image format.
        ZooError: the disk is full or read-only.
    """
    path = Path(path)
    image = io.BytesIO()
    try:
        figure.savefig(image, dpi=150, format=path.suffix[1:])
    except ValueError as error:
        raise UsageError(f"cannot write {path}: {error}") from None
    with reporting(path):
        make_folder(path.parent)
    write_bytes(path, image.getvalue())
    return path
