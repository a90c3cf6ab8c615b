"""One owner a folder: two runs must not write into the same one."""

from __future__ import annotations

import datetime
import json
import os
import secrets
import socket
import time
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from zoo.errors import UsageError, ZooError
from zoo.storage.atomic import make_folder, reporting, write_text

# From taking a folder to writing one's name into it; on a slow disk that is not at once.
_NAMED_AFTER_SECONDS, _LOOK_AGAIN_SECONDS = 5.0, 0.05


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
            make_folder(folder)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                self._wait_for_a_name()
                raise UsageError(
                    f"{folder} is in use by {self.described()}\n"
                    "  wait for it to end, or give another folder with --out"
                ) from None
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        # The random word tells this owner from one of the same process number on another machine.
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        self._owner = json.dumps(owner | {"word": secrets.token_hex(8)})
        try:
            with reporting(self._path):
                # Who comes second must not be told of one that was killed here long ago.
                self._path.unlink(missing_ok=True)
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
        with reporting(self._path):
            owner = self._path.read_bytes() if self._path.is_file() else b""
        if owner != self._owner.encode():
            raise ZooError(
                f"{self._path.parent} was taken over by {self.described()}\n"
                "  its file system grants one lock to several: give each run a folder of its own"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _wait_for_a_name(self) -> None:
        """Wait for the process that has the folder to say who it is: it may just have taken it."""
        patience = time.monotonic() + _NAMED_AFTER_SECONDS
        time.sleep(_LOOK_AGAIN_SECONDS)
        while not self._path.exists() and time.monotonic() < patience:
            time.sleep(_LOOK_AGAIN_SECONDS)

    def described(self) -> str:
        """Who has the folder, or had it last."""
        try:
            owner = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
