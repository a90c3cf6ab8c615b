"""Two processes, one folder: one of them has it, and the other says which."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from faults.forks import Cells, Plant, plant
from faults.plants import hesitant, seated, usurped
from faults.runs import checkpoints, litter, step_of
from zoo.errors import UsageError, ZooError
from zoo.storage.lock import FolderLock

SEED = 26


def race(runs, out: Path, counts, *plants: Plant, words: tuple[str, ...]) -> None:
    """Two starts at the same moment."""
    cells = out.with_name(f"{out.name}.cells")
    Cells.new(cells)
    starts = [
        runs.start(out, plant(seated, seat=seat, seats=2), *plants, cells=cells, words=words)
        for seat in range(2)
    ]
    ends = [start.ended() for start in starts]
    counts["races"] += 1
    assert sorted(ended.code for ended in ends) == [0, 2], ends
    counts["won by one"] += 1
    (winner,) = (s.pid for s, ended in zip(starts, ends, strict=True) if ended.code == 0)
    (loser,) = (ended for ended in ends if ended.code == 2)
    assert f"process {winner} on " in loser.err, loser.err
    counts["losers that name the winner"] += 1
    assert runs.differences(out) == [] == litter(out)
    counts["bit-identical"] += 1


NAMES = ("races", "won by one", "losers that name the winner", "bit-identical")


def test_two_starts_in_a_new_folder(runs, times, tally) -> None:
    counts = tally("two processes start in a new folder", *NAMES)
    for i in range(times(20, 2)):
        words = ("--quiet",) if i % 2 else ("--quiet", "--resume")
        race(runs, runs.folder(), counts, words=words)


def test_two_resumes_of_a_killed_run(runs, times, tally) -> None:
    counts = tally("two processes resume a run whose owner was killed", *NAMES)
    dice = random.Random(SEED)
    for _ in range(times(10, 1)):
        out, words = runs.killed_at(dice.randint(1, 20)), ("--quiet", "--resume")
        race(runs, out, counts, plant(hesitant), words=words)


def test_a_run_in_progress_is_left_alone(runs, times, tally) -> None:
    counts = tally("starts in the folder of a run in progress", "runs", "refused", "bit-identical")
    out = runs.folder()
    held = runs.held_at(5, out)
    for words in times([["--resume"], ["--quiet"]] * 5, [["--resume"], ["--quiet"]]):
        ended = runs.start(out, words=tuple(words)).ended()
        counts["runs"] += 1
        assert ended.code == 2 and f"process {held.pid} on " in ended.err, ended.err
        counts["refused"] += 1
    assert [step_of(file) for file in checkpoints(out)] == [4, 5]
    held.send(signal.SIGKILL)
    held.ended()
    runs.finish(out)
    counts["bit-identical"] += 1


def test_a_run_whose_folder_is_taken_stops_before_it_saves(runs, times, tally) -> None:
    counts = tally("another owner where locks do not hold", "runs", "stopped", "bit-identical")
    dice = random.Random(SEED)
    for _ in range(times(5, 1)):
        step = dice.randint(2, 26)
        run = runs.start(runs.folder(), plant(usurped, step=step))
        ended = run.ended()
        counts["runs"] += 1
        assert ended.code == 1 and ended.err.startswith(f"error: {run.out} was taken over by ")
        assert run.cells.saved == step - 1 == step_of(checkpoints(run.out)[-1])
        counts["stopped"] += 1
        runs.finish(run.out)
        counts["bit-identical"] += 1


def test_the_second_of_two_owners_is_the_one_who_stays(tmp_path, monkeypatch) -> None:
    with FolderLock(tmp_path) as one:
        one.check()
        with pytest.raises(UsageError, match=r"is in use by process \d+ on "):
            FolderLock(tmp_path).__enter__()
        one.check()
        other = FolderLock(tmp_path)
        monkeypatch.setattr(other._lock, "acquire", lambda **_: None)
        with other:
            other.check()
            with pytest.raises(ZooError, match=r"was taken over by process \d+ on "):
                one.check()
    (tmp_path / ".owner").unlink()
    with pytest.raises(ZooError, match="was taken over by another process"):
        other.check()
