"""How commands show tables and progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS_BETWEEN_LINES = 30.0


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout; numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    rows = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = any(isinstance(row[i], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # Piped, a table is as wide as it needs to be: cut cells would be lost results.
    Console(width=None if sys.stdout.isatty() else 500, highlight=False).print(table)


def print_fields(fields: dict[str, Any]) -> None:
    """A record on stdout, a field a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{name:{width}}  {_cell(value)}")


def print_json(value: Any) -> None:
    """JSON on stdout."""
    print(json.dumps(value, indent=2))


def print_weight_folder(folder: Path, *, json: bool) -> None:
    """A weight folder that was written: its path, or its card."""
    from zoo.cards.card import Card

    if json:
        print_json([Card.read(folder).model_dump(mode="json")])
    else:
        print(folder)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def make_folders(*files: Path | None) -> None:
    """Make the folders of files to write: before the work, not after it, is when to fail."""
    for file in files:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def progress(label: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A callable (done, total): a bar on a terminal, a line per 30 s elsewhere, both on stderr."""
    if quiet:
        yield lambda done, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        last = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                print(f"{label}: {done} of {total}", file=sys.stderr, flush=True)

        yield line
