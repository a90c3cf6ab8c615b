"""Storage: files that are whole after any crash, and folders with one owner."""

from zoo.storage.atomic import reporting, sweep, write_bytes, write_text
from zoo.storage.lock import FolderLock

__all__ = ["FolderLock", "reporting", "sweep", "write_bytes", "write_text"]
