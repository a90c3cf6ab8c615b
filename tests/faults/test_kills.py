"""kill -9 at random moments: at most one interval of work is lost, and not a bit."""

from __future__ import annotations

import random
import signal
import time

import pytest

from faults.forks import plant
from faults.plants import PHASES, long_validation
from faults.runs import STEPS, finished, whole

SEED = 20


@pytest.mark.parametrize(
    "variant, save_every, drawn, many",
    [("best", 0.0, False, 30), ("last", 0.0, False, 10), ("best", 0.05, True, 10)],
)
def test_killed_runs_go_on_to_the_same_bits(
    variant, save_every, drawn, many, runs, times, tally
) -> None:
    names = ["runs", "bit-identical", "checkpoints lost", "saves late", "lost steps at most {}"]
    names += [f"killed while {phase}" for phase in PHASES]
    counts = tally(f"kill -9 at random moments, {variant}, saved every {save_every:g} s", *names)
    settings = {"variant": variant, "save_every": save_every, "drawn": drawn}
    long = plant(long_validation)
    dice = random.Random(f"{SEED} {settings}")
    while counts["runs"] < times(many, 1 + many // 20):
        out, moment = runs.folder(), runs.moment(dice, long, **settings)
        killed = runs.start(out, long, **settings)
        time.sleep(moment)
        killed.send(signal.SIGKILL)
        if killed.ended().code == 0 or finished(out):
            continue  # it was faster than the undisturbed run before
        counts["runs"] += 1
        counts[f"killed while {PHASES[killed.cells.phase]}"] += 1
        assert whole(out)[-1:] >= [killed.cells.saved] or killed.cells.saved == -1
        begun_at = runs.finish(out, **settings).cells.begun_at
        counts["bit-identical"] += 1
        counts["checkpoints lost"] += begun_at < killed.cells.saved
        counts["saves late"] += killed.cells.late
        counts.most("lost steps at most {}", killed.cells.step - begun_at)
    assert counts["checkpoints lost"] == counts["saves late"] == 0
    assert save_every > 0 or counts["lost steps at most {}"] <= 1


@pytest.mark.parametrize("variant", ["best", "last"])
def test_a_run_killed_again_and_again_gives_the_same_bits(variant, runs, times, tally) -> None:
    counts = tally(f"kill -9 again and again, {variant}", "chains", "kills", "bit-identical")
    dice = random.Random(f"{SEED} chain {variant}")
    for _ in range(times(3, 1)):
        out, step, kills = runs.folder(), 0, 0
        # Short steps, so that it takes all of the kills to get through.
        while kills < times(10, 3) and not finished(out):
            run = runs.start(out, variant=variant)
            goal = min(STEPS, step + dice.randint(0, 2))
            run.until(lambda cells, goal=goal: cells.step >= goal)
            time.sleep(dice.uniform(0, 0.01))
            run.send(signal.SIGKILL)
            kills += run.ended().code == -signal.SIGKILL
            assert run.cells.begun_at in (-1, *range(step, STEPS + 1)), "a checkpoint was lost"
            step = max(run.cells.saved, step)
        counts["chains"] += 1
        counts["kills"] += kills
        over = finished(out)
        begun_at = runs.finish(out, variant=variant).cells.begun_at
        assert begun_at >= step or over, "a checkpoint was lost"
        counts["bit-identical"] += 1
