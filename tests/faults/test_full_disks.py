"""Disks that are full or cannot be written: a clear error, old files whole, and on from there."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from faults.forks import Ended, Forks, plant
from faults.points import full, read_only
from faults.runs import STEPS, Runs, Started, finished, litter, whole

SEED = 24
# What is written, and how often in a run that saves after each step.
FILES = {
    "log.jsonl": 3,
    "curves.png": 1,
    "step-": STEPS + 3,
    "model.safetensors": 1,
    "recipe.yaml": 1,
    "environment.json": 1,
    "run.json": 1,
    ".owner": 1,
}
NAMES = ("runs", "clear errors", "with all other files whole", "bit-identical once there was space")


def check_error(out: Path, ended: Ended, name: str, reason: str) -> None:
    """It says which file, why, and how much space there is."""
    assert ended.code == 1, ended.err
    said = rf"error: cannot write {out}/\S*{re.escape(name)}\S*: {reason}\n  [\d,]+ bytes are free "
    assert re.match(said, ended.err), ended.err
    assert len(ended.err.splitlines()) == 2


def check_files(runs: Runs, run: Started, out: Path) -> None:
    """What had been written is as it was, and what could not be leaves nothing behind."""
    assert litter(out) == [] and not finished(out)
    assert run.cells.saved in (-1, *whole(out))
    for file in out.glob("environment.json"):
        assert len(json.loads(file.read_text())) == 1
    for file in out.glob("recipe.yaml"):
        assert yaml.safe_load(file.read_text())["epochs"] == 3
    for file in out.glob("curves.png"):
        assert file.read_bytes().endswith(b"IEND\xaeB`\x82")
    for file in out.glob("model.safetensors"):
        assert file.read_bytes() == (runs.straight() / file.name).read_bytes()
    for file in out.glob("log.jsonl"):
        complete = file.read_text().rpartition("\n")[0].splitlines()
        assert [json.loads(line)["epoch"] for line in complete] == list(range(1, len(complete) + 1))


def fail(runs: Runs, counts, out: Path, name: str, reason: str, seen: Path, **how) -> Started:
    """A run whose disk gets full as it writes a file."""
    run = runs.start(out, plant(full, name=name, **how), drawn=name == "curves.png")
    ended = run.ended()
    assert run.cells.count == 1, "it never came so far"
    counts["runs"] += 1
    check_error(out, ended, name, reason)
    counts["clear errors"] += 1
    check_files(runs, run, seen)
    counts["with all other files whole"] += 1
    return run


def test_a_file_that_does_not_fit(runs, times, tally) -> None:
    counts = tally("no space for a file, or for the rest of it", "different files", *NAMES)
    dice, reason, names = random.Random(SEED), "File too large", set()
    for i in range(times(24, 3)):
        out, name = runs.folder(), list(FILES)[i % len(FILES)]
        names.add(name)
        nth, share = dice.randint(1, FILES[name]), dice.choice([0.0, dice.random()])
        run = fail(runs, counts, out, name, reason, seen=out, nth=nth, share=share)
        begun_at = runs.finish(out, drawn=name == "curves.png").cells.begun_at
        assert begun_at >= run.cells.saved
        counts["bit-identical once there was space"] += 1
    counts["different files"] = len(names)


def test_a_disk_that_notices_only_when_it_syncs(runs, times, tally) -> None:
    counts = tally("no space, as a sync finds out", *NAMES)
    for name in times(sorted(FILES.keys() - {"log.jsonl"}), ["step-"]):
        out, nth, reason = runs.folder(), (FILES[name] + 1) // 2, "Disk quota exceeded"
        run = fail(runs, counts, out, name, reason, seen=out, nth=nth, sync=True)
        assert runs.finish(out).cells.begun_at >= run.cells.saved
        counts["bit-identical once there was space"] += 1


@pytest.fixture
def small_disk(forks: Forks, tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes that only the forked processes see."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if not forks.has_own_mounts or forks.run(*mount):
        pytest.skip("needs to mount a file system: as root, or where users may make namespaces")
    yield disk
    assert forks.run("umount", str(disk)) == 0


def test_a_disk_that_is_really_full(small_disk, forks, runs, times, tally) -> None:
    counts = tally("a small disk that is really full", *NAMES)
    dice, reason = random.Random(SEED), "No space left on device"
    ballast = small_disk / "ballast"
    for name in times(FILES, ["step-"]):
        out = small_disk / f"run-{name}"
        seen = forks.seen(out)
        # A log of one page takes no more space when it grows.
        nth = 1 if name == "log.jsonl" else dice.randint(1, FILES[name])
        how = {"nth": nth, "ballast": str(ballast)}
        run = fail(runs, counts, out, name, reason, seen=seen, **how)
        forks.seen(ballast).unlink()
        then = runs.start(out, drawn=name == "curves.png")
        ended = then.ended()
        assert ended.code == 0, ended.err
        assert then.cells.begun_at >= run.cells.saved
        assert runs.differences(seen) == [] == litter(seen)
        counts["bit-identical once there was space"] += 1


def test_a_disk_that_is_really_read_only(small_disk, forks, runs) -> None:
    out = small_disk / "run"
    assert runs.start(out).ended().code == 0
    forks.seen(out / "run.json").unlink()  # as if it had not come quite to its end
    before = {file: file.read_bytes() for file in forks.seen(out).glob("*.*")}
    assert forks.run("mount", "-o", "remount,ro", str(small_disk)) == 0
    check_error(out, runs.start(out).ended(), ".owner", "Read-only file system")
    new = small_disk / "new"
    check_error(new, runs.start(new).ended(), ".owner", "Read-only file system")
    assert before == {file: file.read_bytes() for file in before}
    assert forks.run("mount", "-o", "remount,rw", str(small_disk)) == 0
    assert runs.start(out).ended().code == 0
    assert runs.differences(forks.seen(out)) == []


def test_a_folder_that_cannot_be_written(runs, tally) -> None:
    counts = tally("a read-only folder", "runs", "clear errors", "bit-identical afterwards")
    out = runs.killed_at(4)
    run = runs.start(out, plant(read_only, folder=str(out)))
    ended = run.ended()
    assert run.cells.count > 0
    counts["runs"] += 1
    check_error(out, ended, ".owner", "Read-only file system")
    counts["clear errors"] += 1
    assert runs.finish(out).cells.begun_at == 4
    counts["bit-identical afterwards"] += 1
