"""SIGTERM and SIGINT: the run saves and says so; a second one ends it at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import NAME

from faults.forks import TESTS, Ended, plant
from faults.plants import PHASES, deaf_terminal, long_validation, slow_validation
from faults.runs import STEPS, VARIANTS, Runs, Started, checkpoints, finished, whole

SEED = 22
NAMES = ("runs", "right exit codes", "saved where it stopped", "bit-identical")


NOTICE = "stopping after this step; a second signal stops at once, unsaved\n"


def check_saved(run: Started, ended: Ended, number: int) -> None:
    """The step in progress was ended and saved, and the run said so."""
    assert ended.code == 128 + number, ended.err
    newest = checkpoints(run.out)[-1]
    assert whole(run.out)[-1] == run.cells.step == run.cells.saved
    assert ended.err == (
        f"{NOTICE}stopped by signal {number} after step {run.cells.step}: {newest}\n"
        "  go on with the same command and --resume\n"
    )


@pytest.mark.parametrize("number, many", [(signal.SIGTERM, 20), (signal.SIGINT, 6)])
def test_a_signal_at_a_random_moment(number, many, runs, times, tally) -> None:
    names = [*NAMES, "before or after training", *(f"while {phase}" for phase in PHASES[1:4])]
    counts = tally(f"{number.name} at random moments", *names)
    dice, long = random.Random(f"{SEED} {number}"), plant(long_validation)
    while counts["saved where it stopped"] < times(many, 1 + many // 20):
        # Saved by the clock too, or only by the signal.
        settings = {"save_every": dice.choice([0.0, 0.05, 60.0])}
        out, moment = runs.folder(), runs.moment(dice, long, **settings)
        run = runs.start(out, long, **settings)
        run.until(lambda cells: cells.ready)
        time.sleep(moment)
        phase = PHASES[run.cells.phase]
        run.send(number)
        ended = run.ended()
        if ended.code == 0 or finished(out):
            continue  # too late
        counts["runs"] += 1
        assert ended.code == 128 + number, ended.err
        counts["right exit codes"] += 1
        if run.cells.signals:
            check_saved(run, ended, number)
            counts["saved where it stopped"] += 1
            counts[f"while {phase}"] += 1
        else:
            counts["before or after training"] += 1
        runs.finish(out)
        counts["bit-identical"] += 1


def in_validation(runs: Runs, number: int, **env: str) -> Started:
    """A run in its first validation that was sent one signal, and has noted it."""
    run = runs.start(runs.folder(), plant(slow_validation), **env)
    run.until(lambda cells: cells.phase == PHASES.index("validating"))
    run.send(number)
    run.until(lambda cells: cells.signals == 1)
    return run


def test_a_second_signal_ends_the_run_at_once(runs, times, tally) -> None:
    names = ["runs", "ended by the signal", "bit-identical", "after at most {} ms"]
    counts = tally("a second signal, deep in a validation", *names)
    for i in range(times(6, 1)):
        one, other = (signal.SIGTERM, signal.SIGINT)[:: 1 if i % 2 else -1]
        run = in_validation(runs, one)
        run.cells.go = 2
        run.until(lambda cells: cells.count == 1)
        time.sleep(0.05)
        sent = time.monotonic()
        run.send(other)
        ended = run.ended()
        counts.most("after at most {} ms", round(1000 * (time.monotonic() - sent)))
        counts["runs"] += 1
        assert ended.code == -other, ended.err
        assert ended.err == NOTICE
        counts["ended by the signal"] += 1
        assert runs.finish(run.out).cells.begun_at == run.cells.saved > 0
        counts["bit-identical"] += 1
    assert counts["after at most {} ms"] < 500


def test_the_echo_of_a_launcher_is_no_second_signal(runs, times, tally) -> None:
    counts = tally("signals echoed by a launcher", *NAMES)
    for number in times([signal.SIGTERM, signal.SIGINT, signal.SIGTERM], [signal.SIGTERM]):
        run = in_validation(runs, number, TORCHELASTIC_RUN_ID="none")
        time.sleep(0.2)
        run.send(number)
        run.until(lambda cells: cells.signals == 2)
        assert run.wait(0.1) is None, "the echo ended it"
        run.cells.go = 1
        counts["runs"] += 1
        check_saved(run, run.ended(), number)
        counts.update(["right exit codes", "saved where it stopped"])
        runs.finish(run.out)
        counts["bit-identical"] += 1


def test_a_second_signal_ends_a_launched_run_too(only_full, runs) -> None:
    run = in_validation(runs, signal.SIGTERM, TORCHELASTIC_RUN_ID="none")
    time.sleep(2.05)
    run.send(signal.SIGTERM)
    ended = run.wait(5)
    assert ended is not None and ended.code == -signal.SIGTERM
    runs.finish(run.out)


def test_a_run_outlives_what_its_words_go_to(runs, tally) -> None:
    counts = tally("stderr goes to a pipe that no one reads", "runs", "bit-identical")
    deaf, aloud = plant(deaf_terminal), ("--resume",)
    runs.finish(runs.folder(), deaf, words=aloud)
    counts.update(["runs", "bit-identical"])
    run = runs.start(runs.folder(), deaf, plant(long_validation), words=aloud, save_every=60)
    run.until(lambda cells: cells.step > 2)
    run.send(signal.SIGTERM)
    run.ended()
    assert whole(run.out) == [run.cells.step]
    runs.finish(run.out)
    counts.update(["runs", "bit-identical"])


def test_real_processes(only_full, runs, tally) -> None:
    counts = tally("python -m zoo train, stopped", *NAMES)
    settings = [f"{key}={value}" for key, value in VARIANTS["best"].items()]
    for number in (signal.SIGTERM, signal.SIGINT):
        out = runs.folder()
        places = ["--out", str(out), "--save-every", "0"]
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo", "train", NAME, *settings, *places],
            stderr=subprocess.PIPE,
            text=True,
            cwd=TESTS.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        while not checkpoints(out) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        counts["runs"] += 1
        assert process.returncode == 128 + number, err
        counts["right exit codes"] += 1
        assert f"stopped by signal {number} after step {whole(out)[-1]}: {out}" in err
        counts["saved where it stopped"] += 1
        assert runs.finish(out).cells.begun_at < STEPS
        counts["bit-identical"] += 1
