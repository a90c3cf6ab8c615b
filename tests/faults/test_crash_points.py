"""Death before, after and halfway through every operation by which files are written."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest

from faults.forks import plant
from faults.points import die
from faults.runs import STEPS_PER_EPOCH, Runs, finished, whole

SEED = 21
FILES = (
    ".owner",
    "recipe.yaml",
    "log.jsonl",
    "environment.json",
    "model.safetensors",
    "curves.png",
    "run.json",
)
NAMES = ("points", "deaths", "bit-identical, with nothing left over", "left half a file")


class Deaths:
    """Runs that die in one write, of a file or of a checkpoint.

    Args:
        nth: which write of it, from 1.
        begun: folder of a run that was killed before, to go on from.
    """

    def __init__(self, runs: Runs, scope: str, nth: int = 1, begun: Path | None = None):
        self._runs, self._scope, self._nth, self._begun = runs, scope, nth, begun
        self._drawn = scope == "curves.png"
        self.points = self._pass_through()

    def at(self, point: int, counts) -> None:
        """One of them: it dies, and is resumed."""
        out = self._folder()
        run = self._runs.start(out, self._plant(out, point), drawn=self._drawn)
        ended = run.ended()
        assert ended.code == -signal.SIGKILL, ended.err
        counts["deaths"] += 1
        assert run.cells.saved in (-1, *whole(out)), "a save had returned"
        counts["left half a file"] += bool(list(out.rglob("*.partial")))
        over = finished(out)
        begun_at = self._runs.finish(out, drawn=self._drawn).cells.begun_at
        assert over or begun_at >= run.cells.saved
        counts["bit-identical, with nothing left over"] += 1

    def _pass_through(self) -> list[str]:
        out = self._folder()
        run = self._runs.finish(out, self._plant(out, -1), drawn=self._drawn)
        names = self._trace(out).read_text().splitlines()
        assert len(names) == run.cells.count
        return names

    def _folder(self) -> Path:
        out = self._runs.folder()
        if self._begun is not None:
            shutil.copytree(self._begun, out)
        return out

    def _plant(self, out: Path, point: int):
        trace = str(self._trace(out))
        return plant(die, scope=self._scope, nth=self._nth, point=point, trace=trace)

    def _trace(self, out: Path) -> Path:
        return out.with_name(f"{out.name}.trace")


def check_order(names: list[str]) -> None:
    """What a loss of power could undo is on the disk before anything relies on it."""
    order = ["after write", "before sync file", "after sync file", "before replace"]
    order += ["after replace", "before sync folder", "after sync folder"]
    last = {name: len(names) - 1 - names[::-1].index(name) for name in order}
    assert sorted(last, key=lambda name: last[name]) == order
    # Old checkpoints go only when the new one is there for good.
    assert all(i > last["after sync folder"] for i, name in enumerate(names) if "unlink" in name)


def die_at_some(deaths: Deaths, counts, many: int) -> None:
    """Deaths at so many of the points, or at all of them."""
    counts["points"] += len(deaths.points)
    dice = random.Random(f"{SEED} {deaths.points}")
    for point in dice.sample(range(len(deaths.points)), min(many, len(deaths.points))):
        deaths.at(point, counts)


def test_death_at_every_point_of_a_save(runs, times, tally) -> None:
    counts = tally("death inside a save", *NAMES)
    # The first makes the folder; the third removes an old one; the last of these is the second of
    # its step, as it comes at the end of an epoch.
    for nth in times([1, 3, STEPS_PER_EPOCH + 1], [3]):
        deaths = Deaths(runs, "checkpoint", nth)
        check_order(deaths.points)
        assert len(deaths.points) >= 30
        if nth == 1:  # the folder is there for good before anything is in it
            made, first = (deaths.points.index(f"after {did}") for did in ("mkdir", "open file"))
            assert "after sync folder" in deaths.points[made:first]
        die_at_some(deaths, counts, times(1000, 3))


def test_death_at_every_point_of_writing_a_file(runs, times, tally) -> None:
    counts = tally("death while a file is written", "files", *NAMES)
    for file in times(FILES, FILES[1:2]):
        deaths = Deaths(runs, file)
        if file != "log.jsonl":  # which begins empty
            check_order(deaths.points)
        counts["files"] += 1
        die_at_some(deaths, counts, times(1000, 1))


@pytest.fixture
def begun(runs) -> Path:
    """A run that was killed in its third epoch."""
    return runs.killed_at(2 * STEPS_PER_EPOCH + 2)


def test_death_at_every_point_of_a_resume(begun, runs, times, tally) -> None:
    counts = tally("death while a resumed run writes over a file", "files", *NAMES)
    for file in times((".owner", "log.jsonl", "environment.json"), ("log.jsonl",)):
        deaths = Deaths(runs, file, begun=begun)
        check_order(deaths.points)
        counts["files"] += 1
        die_at_some(deaths, counts, times(1000, 1))
