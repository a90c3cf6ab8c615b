"""Open a torchvision data set, from local files if they are there, else by a download."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zoo.data.names import data_root
from zoo.errors import IntegrityError, NotFoundError

T = TypeVar("T")
# What damaged files make torchvision raise.
_UNREADABLE = (RuntimeError, AssertionError, ValueError, TypeError, LookupError, EOFError, OSError)


def fetch(name: str, open_files: Callable[[Path, bool], T]) -> T:
    """The data set that torchvision finds in ``$ZOO_DATA/<name>``, downloaded there if need be.

    Args:
        open_files: called as open_files(root, download), as torchvision.datasets are.

    Raises:
        NotFoundError: absent, and the download failed or is switched off.
        IntegrityError: the files are there but cannot be read.
    """
    root = data_root() / name
    try:
        return _quietly(open_files, root, False)
    except _UNREADABLE as error:
        if not str(error).startswith("Dataset not found"):  # torchvision's words for absent files
            raise IntegrityError(
                f"dataset {name!r} in {root} cannot be read: {_one_line(error)}\n"
                "  a file there is cut short or damaged: delete the folder to download it again"
            ) from error
    switch = next((key for key in ("ZOO_OFFLINE", "HF_HUB_OFFLINE") if _is_on(key)), None)
    if switch:
        raise _absent(name, root, f"downloads are switched off ({switch}={os.environ[switch]})")
    was_there = root.exists()
    try:
        return _quietly(open_files, root, True)
    except Exception as error:  # sockets, archives, folders: each fails in its own way
        if not was_there:
            _remove_empty(root)
        raise _absent(name, root, f"the download failed: {_one_line(error)}") from error


def _quietly(open_files: Callable[[Path, bool], T], root: Path, download: bool) -> T:
    # Standard output belongs to results. The warnings are about the age of the files' format.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_files(root, download)


def _remove_empty(root: Path) -> None:
    """Folders that a download made before it failed; what it fetched stays."""
    for path in (*sorted(root.rglob("*"), reverse=True), root):
        with contextlib.suppress(OSError):  # a file, or a folder that holds one
            path.rmdir()


def _is_on(key: str) -> bool:
    return os.environ.get(key, "").lower() in ("1", "true", "yes", "on")


def _one_line(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return textwrap.shorten(text, 300)


def _absent(name: str, root: Path, reason: str) -> NotFoundError:
    return NotFoundError(
        f"dataset {name!r} is not in {root}\n"
        f"  {reason}\n"
        f"  set ZOO_DATA to a folder that has {name}/, or connect to the network and run again"
    )
