"""A process of several that dies or hangs: the others end, say so, and all go on later."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from processes_harness import Pair, kept
from processes_plants import die, stall

from faults.forks import Ended, plant
from faults.plants import long_validation
from faults.runs import STEPS, STEPS_PER_EPOCH, Runs, finished, litter, rows, whole

SEED = 25
NAMES = ("dead", "others ended with a clear error", "bit-identical", "after at most {} ms")
SAID = "error: another process of this run is gone; the last checkpoint is kept\n"
# Where a process dies, and how often it comes there in a run that saves after each step.
PLACES = {
    "a step": STEPS,
    "validation": STEPS // STEPS_PER_EPOCH,
    "a save": STEPS,
    "an exchange": STEPS,
    "the end": 1,
}


@pytest.fixture(scope="module")
def straight(runs: Runs) -> Path:
    """An undisturbed run of two processes."""
    out = runs.folder()
    Pair(runs, out).finish()
    assert whole(out)[-1] == STEPS
    return out


def check_survivor(ended: Ended) -> None:
    """It ended by itself, and said why and what to do."""
    assert ended.code == 1, ended
    assert ended.err.endswith(f"{SAID}  go on with the same command and --resume\n"), ended.err


def check_resumed(runs: Runs, out: Path, straight: Path) -> None:
    """A resume gives what an undisturbed run gives."""
    Pair(runs, out).finish()
    assert kept(out) == kept(straight)
    assert rows(out) == rows(straight)
    assert litter(out) == []


def test_a_process_that_dies_at_a_chosen_place(runs, straight, times, tally) -> None:
    counts = tally("kill -9 of one of two processes", *NAMES, *(f"in {name}" for name in PLACES))
    dice = random.Random(SEED)
    for i in range(times(20, 3)):
        place, rank = list(PLACES)[i % len(PLACES)], dice.randint(0, 1)
        nth = dice.randint(1, PLACES[place])
        pair = Pair(runs, runs.folder(), own={rank: plant(die, place=place, nth=nth)})
        dead, other = pair.ranks[rank], pair.ranks[1 - rank]
        assert dead.ended().code == -signal.SIGKILL
        died = time.monotonic()
        check_survivor(other.ended())
        counts.most("after at most {} ms", round(1000 * (time.monotonic() - died)))
        counts["dead"] += 1
        counts[f"in {place}"] += 1
        counts["others ended with a clear error"] += 1
        check_resumed(runs, dead.out, straight)
        counts["bit-identical"] += 1
    assert counts["after at most {} ms"] < 60_000


def test_a_process_that_dies_at_a_random_moment(runs, straight, times, tally) -> None:
    counts = tally("kill -9 of one of two processes at random moments", *NAMES, "too late")
    dice, long = random.Random(SEED), plant(long_validation)
    while counts["dead"] < times(10, 1):
        pair, rank = Pair(runs, runs.folder(), long), dice.randint(0, 1)
        dead, other = pair.ranks[rank], pair.ranks[1 - rank]
        step = dice.randint(0, STEPS - 1)
        dead.until(lambda cells, step=step: cells.begun_at >= 0 and cells.step >= step)
        time.sleep(dice.uniform(0, 0.05))
        dead.send(signal.SIGKILL)
        died = time.monotonic()
        if dead.ended().code == 0 or finished(dead.out):
            counts["too late"] += 1
            other.ended()
            continue
        check_survivor(other.ended())
        counts.most("after at most {} ms", round(1000 * (time.monotonic() - died)))
        counts["dead"] += 1
        counts["others ended with a clear error"] += 1
        check_resumed(runs, dead.out, straight)
        counts["bit-identical"] += 1
    assert counts["after at most {} ms"] < 60_000


def test_a_process_that_hangs(only_full, runs, straight, tally) -> None:
    names = ("hung", "others ended with a clear error", "bit-identical", "after at most {} s")
    counts = tally("SIGSTOP of one of two processes", *names)
    for rank in (0, 1):
        own = {rank: plant(stall, step=STEPS_PER_EPOCH + 2)}
        pair = Pair(runs, runs.folder(), own=own)
        hung, other = pair.ranks[rank], pair.ranks[1 - rank]
        hung.until(lambda cells: cells.count)
        stopped = time.monotonic()
        ended = other.wait(150)
        assert ended is not None
        check_survivor(ended)
        counts.most("after at most {} s", round(time.monotonic() - stopped))
        hung.send(signal.SIGKILL)
        assert hung.ended().code == -signal.SIGKILL
        counts["hung"] += 1
        counts["others ended with a clear error"] += 1
        check_resumed(runs, hung.out, straight)
        counts["bit-identical"] += 1
    assert counts["after at most {} s"] < 120
