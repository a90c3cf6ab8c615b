"""Plants in what storage asks of the system: every operation a place to die at, or to fail at."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from faults.forks import Cells
from faults.plants import around, first
from zoo.storage import atomic
from zoo.training.checkpoints import Checkpoints
from zoo.training.log import RunLog


class _Os:
    """The os module as storage sees it, with some functions replaced."""

    def __init__(self, **replaced: Callable) -> None:
        self.__dict__ |= replaced

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("not reached")


def die(cells: Cells, scope: str, nth: int, point: int, trace: str, chunk: int = 1 << 13) -> None:
    """Die at the given point among those in one write; cells.count is how many were passed.

    Args:
        scope: "checkpoint", from the first to the last operation of a save, or the name of a file,
            while it is written.
        nth: which write of it, from 1.
        point: from 0; -1 for none.
        trace: file that gets the name of each point passed, a line each.
        chunk: bytes written at once.
    """
    atomic._CHUNK_BYTES = chunk
    inside, seen = [False], [0]
    cells.count = 0

    def here(name: str) -> bool:
        """Note a point; whether to die at it."""
        if not inside[0]:
            return False
        cells.count += 1
        with open(trace, "a") as file:  # noqa: PTH123  (Path is being watched)
            file.write(f"{name}\n")
        return cells.count - 1 == point

    def pointed(function: Callable, name: str) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            if here(f"before {name}"):
                _die()
            result = function(*arguments, **options)
            if here(f"after {name}"):
                _die()
            return result

        return call

    def opened(path: Path, *others: Any) -> int:
        if scope != "checkpoint" and path.name.startswith(f".{scope}."):
            seen[0] += 1
            inside[0] = seen[0] == nth
        kind = "folder" if path.is_dir() else "file"
        return pointed(os.open, f"open {kind}")(path, *others)

    def written(file: int, content: memoryview) -> int:
        if here("halfway through write"):
            os.write(file, content[: len(content) // 2])
            _die()
        return pointed(os.write, "write")(file, content)

    def synced(file: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
        pointed(os.fsync, f"sync {kind}")(file)

    def closed(file: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
        pointed(os.close, f"close {kind}")(file)
        if scope != "checkpoint" and kind == "folder":
            inside[0] = False

    def saving(function: Callable) -> Callable:
        def call(*arguments: Any) -> Any:
            seen[0] += 1
            inside[0] = scope == "checkpoint" and seen[0] == nth
            try:
                return function(*arguments)
            finally:
                inside[0] = False

        return call

    atomic.os = _Os(open=opened, write=written, fsync=synced, close=closed)  # pyright: ignore
    if scope == "checkpoint":
        around(Checkpoints, "save", saving)
    for name in ("replace", "unlink", "mkdir"):
        around(Path, name, lambda function, name=name: pointed(function, name))


def full(
    cells: Cells, name: str, nth: int, share: float = 0.0, ballast: str = "", sync: bool = False
) -> None:
    """From the nth write of a file on, the disk is full.

    Args:
        name: of the file, or how it begins.
        share: of what was to be written, that still fits.
        ballast: file that fills the disk, the whole of a small one; without it no file of the
            process grows any more, which looks the same but for the reason given.
        sync: the system finds out only when it is asked to sync, as with quotas over a network.
    """
    count, chosen = [0], [-1]

    def fill(size: int) -> None:
        cells.count = 1
        if ballast:
            with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:  # noqa: PTH123
                while file.write(bytes(1 << 12)):
                    pass
        else:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    def opened(path: Path, *others: Any) -> int:
        file = os.open(path, *others)
        if path.name.startswith(f".{name}"):
            count[0] += 1
            chosen[0] = file if count[0] == nth else -1
        return file

    def written(file: int, content: memoryview) -> int:
        if file == chosen[0] and not (sync or cells.count):
            fill(int(share * len(content)))
        return os.write(file, content)

    def synced(file: int) -> None:
        if file == chosen[0] and sync:
            cells.count = 1
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        os.fsync(file)

    def row(log: RunLog, content: dict[str, Any]) -> None:
        count[0] += 1
        if count[0] == nth:
            fill(log._path.stat().st_size + int(share * 100))

    if name == "log.jsonl":
        first(RunLog, "epoch", row)
    else:
        atomic.os = _Os(open=opened, write=written, fsync=synced)  # pyright: ignore


def read_only(cells: Cells, folder: str) -> None:
    """No file below a folder can be opened to write."""

    def opened(function: Callable) -> Callable:
        def call(path: Any, flags: int, *others: Any, **options: Any) -> int:
            below = str(path).startswith(folder)
            if below and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                cells.count += 1
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            return function(path, flags, *others, **options)

        return call

    around(os, "open", opened)
