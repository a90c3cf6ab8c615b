"""One owner a folder: two runs must not write into the same one."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from zoo.errors import UsageError, ZooError
from zoo.storage.atomic import reporting, write_text


class FolderLock:
    """Holds a folder until the end of a ``with`` block, or of the process, however it ends.

    The system's file lock says who owns the folder. Some network file systems grant it to everyone:
    so the owner also leaves its name in ``.owner``, and `check` finds out if that was replaced.
    """

    def __init__(self, folder: Path):
        self._lock = FileLock(folder / ".lock")
        self._path = folder / ".owner"
        self._owner = ""

    def __enter__(self) -> FolderLock:
        """Take the folder.

        Raises:
            UsageError: another process has it.
            ZooError: the folder cannot be written.
        """
        folder = self._path.parent
        with reporting(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise UsageError(
                    f"{folder} is in use by {self._described()}\n"
                    "  wait for it to end, or give another folder with --out"
                ) from None
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        # The random word tells this owner from one of the same process number on another machine.
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        self._owner = json.dumps(owner | {"word": secrets.token_hex(8)})
        try:
            write_text(self._path, self._owner)
        except ZooError:
            self._lock.release()
            raise
        return self

    def check(self) -> None:
        """Refuse to go on in a folder that another process has taken.

        Raises:
            ZooError: it has.
        """
        if not self._path.is_file() or self._path.read_text(encoding="utf-8") != self._owner:
            raise ZooError(
                f"{self._path.parent} was taken over by {self._described()}\n"
                "  its file system grants one lock to several: give each run a folder of its own"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _described(self) -> str:
        try:
            owner = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
