"""Real launchers: two machines, signals to all, a dead process, and what is refused under them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from conftest import NAME, TINY
from processes_harness import Pair, check_stopped, free_port, kept, launch, outcome, wait_for

from faults.runs import VARIANTS, finished, rows, whole
from zoo.training.run import RunFolder

WORDS = ["train", NAME, *(f"{key}={value}" for key, value in TINY.items())]
FSDP = """
distributed_type: FSDP
use_cpu: true
num_machines: 1
num_processes: 2
mixed_precision: 'no'
fsdp_config: {fsdp_sharding_strategy: FULL_SHARD, fsdp_version: 1}
"""


def test_two_machines_train_as_one_with_two_processes(only_full, runs, tmp_path: Path) -> None:
    # Two launchers on this machine, a process each.
    where = ["--main_process_ip", "127.0.0.1", "--num_machines", "2", "--num_processes", "2"]
    port, out = free_port(), tmp_path / "two"
    words = ["-m", "zoo", *WORDS, "--out", out]
    launchers = [
        launch(*words, config="two_machines", port=port, options=[*where, "--machine_rank", rank])
        for rank in "01"
    ]
    ended = [outcome(launcher) for launcher in launchers]
    assert [each.code for each in ended] == [0, 0], ended
    assert [each.out for each in ended] == [f"{out}\n", ""]
    run = RunFolder.open(out)
    assert run.summary()["processes"] == 2
    pair = tmp_path / "pair"
    Pair(runs, pair, command=[*WORDS, "--out", str(pair)]).finish()
    assert kept(out) == kept(pair)


def test_one_gpu_s_configuration_trains_without_a_gpu_too(only_full, tmp_path: Path) -> None:
    ended = outcome(launch("-m", "zoo", *WORDS, "--out", tmp_path / "run", config="one_gpu"))
    assert ended.code == 0, ended.err
    assert RunFolder.open(tmp_path / "run").summary()["processes"] == 1


def test_sharding_is_refused_under_a_launcher(only_full, tmp_path: Path) -> None:
    config = tmp_path / "fsdp.yaml"
    config.write_text(FSDP)
    ended = outcome(launch("-m", "zoo", *WORDS, "--out", tmp_path / "run", config=config))
    assert ended.code != 0 and "exitcode  : 2 " in ended.err
    assert ended.err.count("error: accelerate is configured for FSDP; the zoo trains data-") == 1
    assert not (tmp_path / "run").exists()


def test_precision_of_the_launcher_is_refused(only_full, tmp_path: Path) -> None:
    options = ["--mixed_precision", "bf16"]
    ended = outcome(launch("-m", "zoo", *WORDS, "--out", tmp_path / "run", options=options))
    assert ended.code != 0 and "exitcode  : 2 " in ended.err
    said = "error: accelerate is configured for mixed precision bf16, the recipe for float32"
    assert ended.err.count(said) == 1


def test_a_signal_to_all_processes_stops_and_saves(only_full, runs, tally) -> None:
    counts = tally("SIGTERM to all processes of a launcher", "runs", "saved once", "bit-identical")
    words, straight = ["train", NAME, "epochs=2"], runs.folder()
    Pair(runs, straight, command=[*words, "--out", str(straight)]).finish()
    check_stopped(runs, words, runs.folder(), straight, os.killpg)
    counts.update(["runs", "saved once", "bit-identical"])


def test_a_process_that_dies_under_a_launcher(only_full, runs, tally) -> None:
    names = ("dead", "others ended with a clear error", "bit-identical", "after at most {} ms")
    counts = tally("kill -9 of one of two processes under accelerate launch", *names)
    settings = [f"{key}={value}" for key, value in VARIANTS["best"].items()]
    straight = runs.folder()
    Pair(runs, straight).finish()
    for rank in "01":
        out = runs.folder()
        words = ["train", NAME, *settings, "--out", str(out), "--save-every", "0"]
        process = launch("-m", "zoo", *words)
        wait_for(lambda out=out: len(whole(out)) == 2, process)
        os.kill(process_of(process.pid, rank), signal.SIGKILL)
        died = time.monotonic()
        ended = outcome(process)
        assert ended.code != 0 and not finished(out)
        counts.most("after at most {} ms", round(1000 * (time.monotonic() - died)))
        counts["dead"] += 1
        assert ended.err.count("error: another process of this run is gone") == 1, ended.err
        counts["others ended with a clear error"] += 1
        Pair(runs, out).finish()
        assert kept(out) == kept(straight) and rows(out) == rows(straight)
        counts["bit-identical"] += 1


def process_of(launcher: int, rank: str) -> int:
    """Process id of a rank that a launcher started."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError(f"no process {rank}")
