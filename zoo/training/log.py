"""What a run says while it runs: a JSON line an epoch in a file, progress on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from zoo.storage.atomic import reporting, write_text


class RunLog:
    """Writes rows to ``log.jsonl`` and shows progress; silent on all but the main process.

    Args:
        folder: the run folder.
        epochs: how many there will be.
        done: epochs that the state of the run has behind it; rows of later ones, which a crash has
            undone, are dropped.
        main: whether this is the main process.
        quiet: show nothing, write all the same.
    """

    _SECONDS_BETWEEN_LINES = 30.0

    def __init__(
        self, folder: Path, epochs: int, done: int = 0, *, main: bool = True, quiet: bool = False
    ):
        self._file = None
        self._path = folder / "log.jsonl"
        if main:
            rows = [row for row in read_log(self._path) if row["epoch"] <= done]
            write_text(self._path, "".join(_line(row) for row in rows))
            with reporting(self._path):
                self._file = self._path.open("a", encoding="utf-8")
        self._shown = main and not quiet
        self._epochs, self._last_line = epochs, -math.inf
        self._bar: Progress | None = None
        if self._shown and sys.stderr.isatty():
            columns = TextColumn("epoch"), MofNCompleteColumn(), BarColumn()
            rest = TextColumn("{task.description}"), TimeRemainingColumn()
            self._bar = Progress(*columns, *rest, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=epochs, completed=done)

    def say(self, text: str) -> None:
        """Show a line, above the bar if there is one."""
        # A run outlives the terminal, the pipe or the full disk that its words go to.
        with suppress(OSError):
            if self._bar is not None:
                self._bar.console.print(text, markup=False, highlight=False)
            elif self._shown:
                print(text, file=sys.stderr, flush=True)

    def epoch(self, row: dict[str, Any]) -> None:
        """Record one epoch."""
        if self._file is None:
            return
        with reporting(self._path):
            self._file.write(_line(row))
            self._file.flush()
        text = " ".join(f"{key} {_short(value)}" for key, value in row.items() if key != "epoch")
        if self._bar is not None:
            self._bar.update(self._task, completed=row["epoch"], description=text)
        elif self._shown:
            now, last = time.monotonic(), row["epoch"] == self._epochs
            if last or now - self._last_line >= self._SECONDS_BETWEEN_LINES:
                self._last_line = now
                self.say(f"epoch {row['epoch']}/{self._epochs} {text}")

    def sync(self) -> None:
        """Make what was recorded outlive a loss of power: a checkpoint relies on it."""
        if self._file is not None:
            with reporting(self._path):
                os.fsync(self._file.fileno())

    def __enter__(self) -> RunLog:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()
        if self._file is not None:
            with reporting(self._path):
                self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a log, up to the first line that a crash cut short, or a loss of power garbled."""
    if not path.is_file():
        return []
    complete, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    rows: list[dict[str, Any]] = []
    for line in complete.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows


def _line(row: dict[str, Any]) -> str:
    return json.dumps(_strict(row), allow_nan=False) + "\n"


def _strict(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: infinities and NaN are texts, which float() reads."""
    odd = {key for key, x in row.items() if isinstance(x, float) and not math.isfinite(x)}
    return {key: str(value) if key in odd else value for key, value in row.items()}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
