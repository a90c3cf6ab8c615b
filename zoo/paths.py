"""Where recipes and weights lie: in the source tree, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _shared(name: str) -> Path:
    """A folder of the source tree this package runs from, else its copy in the wheel.

    Never the working directory: what a user happens to stand in must not decide what is loaded.
    """
    tree = _PACKAGE.parent
    if (tree / "pyproject.toml").is_file() and (tree / name).is_dir():
        return tree / name
    return _PACKAGE / f"_{name}"


def recipes_dir() -> Path:
    """Folder of the recipes, <name>.yaml."""
    return _shared("recipes")


def weights_dir() -> Path:
    """Folder of the published models, <name>/, and of index.json."""
    return _shared("weights")
