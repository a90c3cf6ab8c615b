"""What a run says while it runs: a JSON line an epoch in a file, progress on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class RunLog:
    """Writes rows to ``log.jsonl`` and shows progress; silent on all but the main process.

    Args:
        folder: the run folder.
        epochs: how many there will be.
        main: whether this is the main process.
        quiet: show nothing, write all the same.
    """

    _SECONDS_BETWEEN_LINES = 30.0

    def __init__(self, folder: Path, epochs: int, *, main: bool = True, quiet: bool = False):
        self._file = (folder / "log.jsonl").open("w", encoding="utf-8") if main else None
        self._shown = main and not quiet
        self._epochs, self._last_line = epochs, -math.inf
        self._bar: Progress | None = None
        if self._shown and sys.stderr.isatty():
            columns = TextColumn("epoch"), MofNCompleteColumn(), BarColumn()
            rest = TextColumn("{task.description}"), TimeRemainingColumn()
            self._bar = Progress(*columns, *rest, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=epochs)

    def epoch(self, row: dict[str, Any]) -> None:
        """Record one epoch."""
        if self._file is None:
            return
        self._file.write(json.dumps(_strict(row), allow_nan=False) + "\n")
        self._file.flush()
        text = " ".join(f"{key} {_short(value)}" for key, value in row.items() if key != "epoch")
        if self._bar is not None:
            self._bar.update(self._task, completed=row["epoch"], description=text)
        elif self._shown:
            now, last = time.monotonic(), row["epoch"] == self._epochs
            if last or now - self._last_line >= self._SECONDS_BETWEEN_LINES:
                self._last_line = now
                print(f"epoch {row['epoch']}/{self._epochs} {text}", file=sys.stderr, flush=True)

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
            self._bar.stop()
        if self._file is not None:
            self._file.close()


def _strict(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: infinities and NaN are texts, which float() reads."""
    odd = {key for key, x in row.items() if isinstance(x, float) and not math.isfinite(x)}
    return {key: str(value) if key in odd else value for key, value in row.items()}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
