"""Damaged checkpoints are noticed, named and passed over; folders that are no run's are left."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from faults.runs import Runs, checkpoints, step_of

SEED = 25
STEP = 13


@pytest.fixture(scope="module")
def stopped(runs) -> Path:
    """Folder of a run that was killed in its second epoch."""
    return runs.killed_at(STEP)


def copied(runs: Runs, run: Path) -> Path:
    """A copy of a run, to spoil."""
    return Path(shutil.copytree(run, runs.folder()))


def damage(file: Path, dice: random.Random) -> str:
    """Cut a file short, or change one of its bytes; which of the two."""
    content = bytearray(file.read_bytes())
    place = dice.randrange(len(content))
    if dice.random() < 0.5:
        file.write_bytes(content[:place])
        return "cut short"
    content[place] ^= 1 << dice.randrange(8)
    file.write_bytes(content)
    return "with one bit flipped"


def test_a_damaged_checkpoint_is_passed_over(stopped, runs, times, tally) -> None:
    kinds = ("cut short", "with one bit flipped")
    names = (*kinds, "named in a message", "went on from the one before", "bit-identical")
    counts = tally("damage to the newest checkpoint", "runs", *names)
    dice = random.Random(SEED)
    for _ in range(times(24, 2)):
        out = copied(runs, stopped)
        before, newest = checkpoints(out)
        counts[damage(newest, dice)] += 1
        counts["runs"] += 1
        run = runs.finish(out, words=("--resume",))
        assert f"{newest} is damaged: going back to the checkpoint before it\n" in run.last.err
        counts["named in a message"] += 1
        assert run.cells.begun_at == step_of(before) == STEP - 1
        counts["went on from the one before"] += 1
        counts["bit-identical"] += 1


def test_a_run_without_a_whole_checkpoint_is_not_started_over(stopped, runs, times, tally) -> None:
    counts = tally("damage to all checkpoints", "runs", "refused with exit code 4", "files touched")
    dice = random.Random(SEED)
    for _ in range(times(6, 1)):
        out = copied(runs, stopped)
        for file in checkpoints(out):
            damage(file, dice)
        before = contents(out)
        ended = runs.start(out).ended()
        counts["runs"] += 1
        assert ended.code == 4 and ended.err == (
            f"error: no checkpoint in {out}/checkpoints is whole\n"
            "  the disk may be failing; start again in another folder with --out\n"
        )
        counts["refused with exit code 4"] += 1
        counts["files touched"] += before != contents(out)
    assert counts["files touched"] == 0


GARBAGE = (b"\x00" * 300, b"\n", b"5\n", b'{"epoch": 2, "lo\n\n', b"\xff\xfe\n{}\n", b'{"epoch": 2')


def test_what_no_sync_had_made_last_in_the_log_may_be_anything(stopped, runs, times, tally) -> None:
    counts = tally("a log that ends in garbage", "runs", "bit-identical")
    for garbage in times(GARBAGE, GARBAGE[4:5]):
        out = copied(runs, stopped)
        with (out / "log.jsonl").open("ab") as file:
            file.write(garbage)
        counts["runs"] += 1
        assert runs.finish(out).cells.begun_at == STEP
        counts["bit-identical"] += 1


def contents(out: Path) -> dict[Path, bytes]:
    """All files of a folder but the trace of who had it last."""
    files = (file for file in out.rglob("*") if file.is_file() and file.name != ".owner")
    return {file: file.read_bytes() for file in files}


def refused(runs: Runs, counts, out: Path, *words: str, variant: str = "best") -> str:
    """What a start says that is refused, and that leaves all files as they were."""
    before = contents(out)
    ended = runs.start(out, words=words, variant=variant).ended()
    counts["starts"] += 1
    assert ended.code == 2, ended.err
    counts["refused with exit code 2"] += 1
    counts["files touched"] += contents(out) != before
    return ended.err


def test_a_start_that_would_spoil_a_folder_is_refused(stopped, runs, tally) -> None:
    counts = tally("starts that would spoil a folder", "starts", "files touched")
    out = copied(runs, stopped)
    assert refused(runs, counts, out, "seed=1", "augment.flip=true", "--resume") == (
        f"error: {out} holds a run of another recipe; it has\n"
        "  augment.flip = False, not True\n"
        "  seed = 0, not 1\n"
    )
    said = refused(runs, counts, out, "--resume", variant="last")
    for change in ("augment.pad = 1, not 0", "ema = 0.9, not None", "select = best, not last"):
        assert f"\n  {change}\n" in said
    said = refused(runs, counts, out)
    assert said.startswith(f"error: {out} already holds a run, of process ")
    assert "\n  go on with it: --resume; or give another folder" in said
    assert refused(runs, counts, runs.straight()).startswith("error: ")
    foreign = runs.folder()
    foreign.mkdir()
    for name in ("precious.txt", ".hidden", "log.jsonl"):
        (foreign / name).write_text("mine")
        for word in ("--quiet", "--resume"):
            said = refused(runs, counts, foreign, word)
            assert said.startswith(f"error: {foreign} holds files that are no run's\n")
        assert [file.name for file in foreign.iterdir()] == [name]
        (foreign / name).unlink()
    assert counts["files touched"] == 0
    assert runs.finish(out).cells.begun_at == STEP


def test_a_finished_run_returns_at_once(runs, tally) -> None:
    counts = tally("--resume of a finished run", "runs", "files touched")
    out = copied(runs, runs.straight())
    before = contents(out)
    run = runs.finish(out)
    counts["runs"] += 1
    assert run.cells.begun_at == -1 and run.last.out == f"{out}\n"
    counts["returned without a step"] += 1
    counts["files touched"] += before != contents(out)
    assert counts["files touched"] == 0
