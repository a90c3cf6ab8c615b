"""Faults, planted in a training process before it starts, and watches that report on it.

Each function changes the process it is called in, which is a forked one; see forks.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import time
from collections.abc import Callable
from typing import Any

import zoo.cli.app
import zoo.training.environment
import zoo.training.loop
import zoo.training.trainer
from faults.forks import Cells
from zoo.storage import lock
from zoo.storage.lock import FolderLock
from zoo.training.checkpoints import Checkpoints
from zoo.training.run import RunFolder
from zoo.training.signals import StopRequest
from zoo.training.trainer import Trainer

PHASES = ("preparing", "training", "validating", "saving", "finishing")

# The package exports the function under the name of its module.
_validation: Any = importlib.import_module("zoo.training.select")


def keep_data() -> None:
    """Load each split once, and ask for the commit once, for all processes forked later."""
    cached = functools.lru_cache(zoo.training.loop.load_data)
    for split in ("train", "validation"):
        cached("digits", split)
    zoo.training.loop.load_data = cached
    commit = zoo.training.environment.source_commit()
    zoo.training.environment.source_commit = lambda: commit


def around(owner: Any, name: str, make: Callable[[Callable], Callable]) -> None:
    """Replace a function by what `make` makes of it."""
    setattr(owner, name, functools.wraps(getattr(owner, name))(make(getattr(owner, name))))


def then(owner: Any, name: str, after: Callable[..., None]) -> None:
    """Call `after` with the result and arguments of each call that returns."""

    def make(function: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            after(result, *arguments, **options)
            return result

        return call

    around(owner, name, make)


def first(owner: Any, name: str, before: Callable[..., None]) -> None:
    """Call `before` with the arguments of each call."""

    def make(function: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            before(*arguments, **options)
            return function(*arguments, **options)

        return call

    around(owner, name, make)


def watch(cells: Cells, every: float) -> None:
    """Report how far the run is and what of that is saved.

    Args:
        every: seconds between saves, as the run was told.
    """

    def at(phase: str) -> Callable[[Callable], Callable]:
        def make(function: Callable) -> Callable:
            def call(*arguments: Any, **options: Any) -> Any:
                before, cells.phase = cells.phase, PHASES.index(phase)
                try:
                    return function(*arguments, **options)
                finally:
                    cells.phase = before

            return call

        return make

    def ready(app: Callable) -> Callable:
        def call() -> Any:
            cells.ready = 1
            return app()

        return call

    def begun(trainer: Trainer, *others: Any) -> None:
        cells.begun_at = cells.step = trainer.state.step
        cells.saved_time, cells.phase = time.monotonic(), PHASES.index("training")

    asked = [0.0, 0.0]  # when the run found out whether a save was due, in the last two steps

    def differentiated(*_: Any) -> None:
        asked[:] = asked[1], time.monotonic()

    def updated(_: Any, trainer: Trainer) -> None:
        # A save was due already when the step before was taken: it should have come between.
        cells.late += cells.unsaved > 0 and asked[0] >= cells.saved_time + every
        cells.step = trainer.state.step
        cells.unsaved += 1

    def saved(_: Any, trainer: Trainer) -> None:
        cells.saved, cells.saved_time = trainer.state.step, time.monotonic()
        cells.unsaved = 0

    def noted(*_: Any) -> None:
        cells.signals += 1

    zoo.cli.app.app = ready(zoo.cli.app.app)  # pyright: ignore
    first(Trainer, "train", begun)
    then(Trainer, "_backward", differentiated)
    then(Trainer, "_update", updated)
    then(Trainer, "_save", saved)
    then(StopRequest, "_note", noted)
    around(zoo.training.trainer, "validate", at("validating"))
    around(Checkpoints, "save", at("saving"))
    around(zoo.training.loop, "_finish", at("finishing"))


def draw_nothing(cells: Cells) -> None:
    """Leave the curves out, which take longer than the training."""
    zoo.training.loop.draw_training = lambda run, path: path


def held(cells: Cells, step: int) -> None:
    """Go no further once this step is saved, until a signal comes that ends the process."""

    def hold(_: Any, trainer: Trainer) -> None:
        while trainer.state.step == step:
            time.sleep(0.01)

    then(Trainer, "_save", hold)


def seated(cells: Cells, seat: int, seats: int) -> None:
    """Wait for the other processes before taking the folder."""

    def meet(*_: Any, **__: Any) -> None:
        cells.seats[seat] = 1
        while sum(cells.seats) < seats:
            pass

    first(RunFolder, "owned", meet)


def hesitant(cells: Cells) -> None:
    """Take some time between taking a folder and saying so, as on a slow disk."""
    first(lock, "write_text", lambda *_: time.sleep(0.3))


def usurped(cells: Cells, step: int) -> None:
    """Another process takes the folder too, as on a file system whose locks do not hold."""

    def usurp(_: Any, trainer: Trainer) -> None:
        if trainer.state.step == step:
            other = FolderLock(trainer.run.path)
            other._lock.acquire = lambda **_: None  # pyright: ignore
            other.__enter__()

    then(Trainer, "_update", usurp)


def long_validation(cells: Cells, seconds: float = 0.05) -> None:
    """Validate for some time, so that what comes at random moments comes in there too."""
    first(_validation, "in_batches", lambda *_, **__: time.sleep(seconds))


def slow_validation(cells: Cells, seconds: int = 60) -> None:
    """Validate until the test says go; then, if it said 2, be deep in one long operation."""

    def wait(*_: Any, **__: Any) -> None:
        while not cells.go:
            time.sleep(0.002)
        if cells.go == 2:
            cells.count = 1
            # One call into C that Python interrupts for no signal.
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000 * seconds)

    first(_validation, "in_batches", wait)


def deaf_terminal(cells: Cells) -> None:
    """What stderr goes to is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 2)
