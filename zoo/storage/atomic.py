"""Write a file whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import ZooError

_SUFFIX = ".partial"
_CHUNK_BYTES = 1 << 22


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file's content in one rename: after a crash at any point it is the old or the new.

    Rename is atomic, but without the syncs a machine that loses power can keep the rename and lose
    the bytes: file first, then its folder.

    Raises:
        ZooError: the disk is full or read-only; the old file is whole.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    with reporting(path):
        try:
            # For others to read too, as far as the user's umask lets them.
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_all(file, memoryview(content))
                os.fsync(file)
            finally:
                os.close(file)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)  # on a full disk these bytes are wanted elsewhere
            raise
        sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """As write_bytes, in UTF-8."""
    write_bytes(path, content.encode())


def sweep(folder: Path) -> None:
    """Remove what crashed writers left in a folder. Only its owner may call this."""
    for leftover in folder.glob(f".*{_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that they outlive a loss of power."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder outlive a loss of power, where the system can."""
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn a failure to write into an error that says where, why and what is left.

    Raises:
        ZooError: for any OSError.
    """
    try:
        yield
    except OSError as error:
        raise ZooError(
            f"cannot write {path}: {error.strerror or error}\n"
            f"  {_free_bytes(path):,} bytes are free there; files written before are whole"
        ) from error


def _write_all(file: int, content: memoryview) -> None:
    content = content.cast("B")
    while content:
        content = content[os.write(file, content[:_CHUNK_BYTES]) :]


def _free_bytes(path: Path) -> int:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return shutil.disk_usage(folder).free
