"""Runs to disturb, and what must be true of them afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import NAME

from faults.forks import Cells, Ended, Forks, Plant, plant
from faults.plants import draw_nothing, held, watch

# Nine steps an epoch, and a state with all that a state can hold; then one with as little.
_SMALL = {"model.width": 24, "epochs": 3, "batch_size": 128}
VARIANTS: dict[str, dict[str, Any]] = {
    "best": _SMALL | {"ema": 0.9, "select": "best", "augment.pad": 1, "evaluate_every": 1},
    "last": _SMALL | {"select": "last", "evaluate_every": 2},
}
STEPS, STEPS_PER_EPOCH = 27, 9
_CHECKPOINT = re.compile(r"step-(\d+)\.([0-9a-f]{16})\.safetensors")


@dataclass
class Started:
    """A training process and the folder it works in."""

    forks: Forks
    pid: int
    cells: Cells
    out: Path
    last: Ended = field(init=False)

    def wait(self, seconds: float = 120.0) -> Ended | None:
        """How it ended; None if it has not, by then."""
        return self.forks.wait(self.pid, seconds)

    def ended(self) -> Ended:
        """How it ended, which it must."""
        ended = self.wait()
        if ended is None:
            self.send(signal.SIGKILL)
            raise AssertionError(f"does not end: {self.wait()}")
        self.last = ended
        return ended

    def send(self, number: int) -> None:
        """A signal; one that comes after the end is lost, as the process is not reaped yet."""
        os.kill(self.pid, number)

    def until(self, true: Callable[[Cells], Any]) -> None:
        """Wait until the process has come so far."""
        patience = time.monotonic() + 60
        while not true(self.cells):
            assert time.monotonic() < patience, "does not come so far"
            time.sleep(0.001)


@dataclass
class Runs:
    """Starts runs in new folders, and knows what an undisturbed one leaves."""

    forks: Forks
    root: Path
    _made: int = 0
    _straight: dict[str, Path] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)

    def folder(self) -> Path:
        """One that no run had yet."""
        self._made += 1
        return self.root / f"run{self._made}"

    def start(
        self,
        out: Path,
        *plants: Plant,
        variant: str = "best",
        words: tuple[str, ...] = ("--resume", "--quiet"),
        save_every: float = 0.0,
        drawn: bool = False,
        cells: Path | None = None,
        **env: str,
    ) -> Started:
        """A run in the folder, from its last checkpoint if there is one.

        Args:
            save_every: seconds; 0 saves after each step.
            drawn: with curves, which take more time than all the rest.
            cells: file that several processes share.
        """
        settings = [f"{key}={value}" for key, value in VARIANTS[variant].items()]
        places = ["--out", str(out), "--save-every", str(save_every)]
        planted = [plant(watch, every=save_every), *plants]
        if not drawn:
            planted.append(plant(draw_nothing))
        if cells is None:
            self._made += 1
            cells = self.root / f"cells{self._made}"
            Cells.new(cells)
        command = ["train", NAME, *settings, *places, *words]
        pid = self.forks.start(command, planted, cells, **env)
        return Started(self.forks, pid, Cells.at(cells), out)

    def finish(self, out: Path, *plants: Plant, variant: str = "best", **settings: Any) -> Started:
        """Resume to the end, and check that all is as if nothing had happened."""
        run = self.start(out, *plants, variant=variant, **settings)
        ended = run.ended()
        assert ended.code == 0, ended.err
        assert self.differences(out, variant) == []
        assert litter(out) == []
        return run

    def straight(self, variant: str = "best") -> Path:
        """Folder of an undisturbed run."""
        if variant not in self._straight:
            out = self.folder()
            ended = self.start(out, variant=variant, words=("--quiet",)).ended()
            assert ended.code == 0, ended.err
            assert whole(out) == [STEPS - 1, STEPS] and rows(out)[-1]["epoch"] == 3
            self._straight[variant] = out
        return self._straight[variant]

    def moment(self, dice: random.Random, *plants: Plant, **settings: Any) -> float:
        """Seconds from the start of a run to a random moment of it."""
        key = str((plants, settings.get("drawn")))  # little else matters
        if key not in self._seconds:
            begun = time.monotonic()
            self.finish(self.folder(), *plants, **settings)
            self._seconds[key] = time.monotonic() - begun
        return dice.uniform(0, self._seconds[key])

    def killed_at(self, step: int) -> Path:
        """Folder of a run that was killed once this step was saved."""
        run = self.held_at(step, self.folder())
        run.send(signal.SIGKILL)
        assert run.ended().code == -signal.SIGKILL
        assert whole(run.out)[-1] == step
        return run.out

    def held_at(self, step: int, out: Path) -> Started:
        """A run that has saved this step, and waits."""
        run = self.start(out, plant(held, step=step))
        run.until(lambda cells: cells.saved == step)
        return run

    def differences(self, out: Path, variant: str = "best") -> list[str]:
        """In what a run differs from the undisturbed one."""
        straight = self.straight(variant)
        views: dict[str, Callable[[Path], Any]] = {
            "weights": lambda run: (run / "model.safetensors").read_bytes(),
            "log": rows,
            "recipe": lambda run: (run / "recipe.yaml").read_bytes(),
            "selection": lambda run: [summary(run)[key] for key in _SELECTED],
        }
        return [name for name, view in views.items() if view(out) != view(straight)]


_SELECTED = ("seed", "selected_epoch", "validation_certified_acc")


def rows(out: Path) -> list[dict[str, Any]]:
    """The log, but for the time that was taken."""
    lines = (out / "log.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def summary(out: Path) -> dict[str, Any]:
    """What run.json says."""
    return json.loads((out / "run.json").read_text())


def checkpoints(out: Path) -> list[Path]:
    """The checkpoints of a run, the newest last."""
    found = (out / "checkpoints").glob("step-*")
    return sorted((file for file in found if _CHECKPOINT.fullmatch(file.name)), key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name says."""
    match = _CHECKPOINT.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def whole(out: Path) -> list[int]:
    """Steps of the checkpoints, each of which must be whole."""
    for file in checkpoints(out):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert f".{digest[:16]}." in file.name, f"{file} is not what its name says"
    return [step_of(file) for file in checkpoints(out)]


def litter(out: Path) -> list[Path]:
    """What writers that did not finish have left."""
    return sorted(out.rglob("*.partial"))


def finished(out: Path) -> bool:
    """Whether a run came to its end."""
    return (out / "run.json").is_file()
