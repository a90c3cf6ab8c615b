"""What all figures share: colours, grid, and how an image is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError

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
    """Write an image, and the folder for it if there is none.

    Raises:
        UsageError: a suffix that is no image format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:
        raise UsageError(f"cannot write {path}: {error}") from None
    return path
