"""Two processes of one run, forked or launched, and what must be true of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from faults.forks import Cells, Ended, Plant, plant
from faults.runs import Runs, Started, finished, whole
from processes_plants import brief

from zoo.training.log import read_log

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "tests" / "processes_plants.py"
ON_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def launch(
    *words: str | Path,
    config: str | Path = "two_cpus",
    port: int | None = None,
    options: Sequence[str] = (),
    **env: str,
) -> subprocess.Popen[str]:
    """``accelerate launch`` in a process group of its own.

    Args:
        words: what is launched, and what comes after it: ("-m", "zoo", "train", ...).
        config: the name of one of ours, or a file.
        options: of the launcher, on top of those in the configuration.
    """
    if isinstance(config, str):
        config = ROOT / "launch" / f"{config}.yaml"
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
    return subprocess.Popen(
        [*launcher, "--main_process_port", str(port or free_port()), *options, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | ON_ONE_CORE | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"} | env,
        start_new_session=True,
    )


def outcome(process: subprocess.Popen[str], seconds: float = 150.0) -> Ended:
    """How a launcher ended, within that time."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, out, err)


def free_port() -> int:
    """A port that nobody uses yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def seat(rank: int, port: int) -> dict[str, str]:
    """What a launcher tells the rank-th of two processes."""
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
    return ON_ONE_CORE | world | place


Kill = Callable[[int, int], None]


class Pair:
    """Two forked processes that no launcher looks after: only they can end each other.

    Args:
        out: folder of the run.
        own: what is planted in one rank only, by rank.
        command: of zoo; the runs' own recipe otherwise.
        how: see Runs.start.
    """

    def __init__(
        self,
        runs: Runs,
        out: Path,
        *plants: Plant,
        own: dict[int, Plant] | None = None,
        command: Sequence[str] = (),
        **how: Any,
    ):
        port, own = free_port(), own or {}
        self.ranks: list[Started] = []
        for rank in (0, 1):
            planted = [plant(brief), *plants, *([own[rank]] if rank in own else [])]
            if command:
                cells = runs.folder()
                Cells.new(cells)
                pid = runs.forks.start([*command], planted, cells, **seat(rank, port))
                self.ranks.append(Started(runs.forks, pid, Cells.at(cells), out))
            else:
                self.ranks.append(runs.start(out, *planted, **how, **seat(rank, port)))

    def ended(self) -> list[Ended]:
        """How both ended, which they must."""
        return [rank.ended() for rank in self.ranks]

    def finish(self) -> None:
        """See both come to the end of the run."""
        ended = self.ended()
        assert [each.code for each in ended] == [0, 0], ended


def check_stopped(runs: Runs, words: Sequence[str], out: Path, straight: Path, kill: Kill) -> None:
    """A launched run that a SIGTERM stops in its second epoch says so once, saves, and goes on.

    Args:
        words: of a run of two epochs of 39 steps.
        straight: its folder where it was not interrupted.
        kill: os.kill tells the launcher alone, os.killpg all processes at once.
    """
    process = launch("-m", "zoo", *words, "--out", out)
    wait_for(lambda: read_log(out / "log.jsonl"), process)
    kill(process.pid, signal.SIGTERM)
    ended = outcome(process)
    assert ended.code != 0 and not finished(out)
    assert ended.err.count("stopping after this step") == 1, ended.err
    (step,) = re.findall(r"stopped by signal 15 after step (\d+): \S+\n  go on with", ended.err)
    assert whole(out) == [int(step)] and 39 <= int(step) < 78
    Pair(runs, out, command=[*words, "--out", str(out), "--resume"]).finish()
    assert kept(out) == kept(straight)


def kept(run: Path) -> bytes:
    """The weights that a run kept."""
    return (run / "model.safetensors").read_bytes()


def mean_losses(folder: Path) -> list[float]:
    """Loss of each step over the global batch, of which each rank recorded that of its share."""
    losses = [report["losses"] for report in records(folder)]
    return [sum(shares) / len(shares) for shares in zip(*losses, strict=True)]


def records(folder: Path) -> list[dict[str, Any]]:
    """What each rank recorded."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("rank*.json"))]


def wait_for(true: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait until something has come about, while a process lives."""
    patience = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience, "does not come so far"
        time.sleep(0.005)
