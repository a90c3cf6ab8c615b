"""Two processes of one run: forked or launched, what is planted in them, and what they report.

Run as a program this file is the zoo command with a record of it: what tests give to a launcher in
place of ``-m zoo``, with the folder for the record in $RECORD.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from faults.forks import Cells, Ended, Plant, plant
from faults.plants import around, first, then
from faults.runs import Runs, Started, finished, whole

import zoo.training.processes
import zoo.training.trainer
from zoo.data.load import load_data
from zoo.recipes import load_recipe
from zoo.training.build import build_model
from zoo.training.log import read_log
from zoo.training.processes import make_accelerator
from zoo.training.select import validate
from zoo.training.step import Step
from zoo.training.trainer import Trainer

HARNESS = Path(__file__).resolve()
ROOT = HARNESS.parent.parent
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


def record(folder: Path) -> None:
    """Record the loss of each step, the bits of the last state, and the threads that are left."""
    losses: list[float] = []
    bits: list[str] = []

    def computed(result: tuple[torch.Tensor, torch.Tensor], *_: Any) -> None:
        losses.append(result[0].item())

    def trained(_: Any, trainer: Trainer, *__: Any) -> None:
        hashed = hashlib.sha256()
        for tensor in trainer.state.tensors().values():
            hashed.update(tensor.numpy().tobytes())
        bits.append(hashed.hexdigest())

    def write() -> None:
        tasks = Path("/proc/self/task").glob("*/comm")
        threads = sorted(task.read_text().strip() for task in tasks)
        content = {"losses": losses, "bits": bits, "threads": threads}
        path = folder / f"rank{os.environ.get('RANK', '0')}.json"
        path.write_text(json.dumps(content))

    then(Step, "forward", computed)
    then(Trainer, "train", trained)
    atexit.register(write)  # the first to be registered is the last to be called


def die(cells: Cells, place: str, nth: int) -> None:
    """Die at the nth time that a process comes to a place in the code."""
    places: dict[str, tuple[Any, str]] = {
        "a step": (Step, "forward"),
        "an exchange": (zoo.training.trainer, "largest"),
        "validation": (zoo.training.trainer, "validate"),
        "a save": (zoo.training.trainer, "check_equal_bits"),
        "the end": (zoo.training.loop, "check_equal_bits"),
    }

    def come(*_: Any, **__: Any) -> None:
        cells.count += 1
        if cells.count == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    first(*places[place], come)


def stall(cells: Cells, step: int) -> None:
    """Stop, as a machine that is cut off does, before this step; cells.count says when."""

    def come(trainer: Trainer, *_: Any) -> None:
        if trainer.state.step == step:
            cells.count = 1
            os.kill(os.getpid(), signal.SIGSTOP)

    first(Trainer, "_backward", come)


def drift(cells: Cells, step: int, ulps: Sequence[int]) -> None:
    """Change the first numbers of a weight by so many of their last places, once, after a step."""

    def change(_: Any, trainer: Trainer) -> None:
        if trainer.state.step == step:
            weight = next(trainer.state.module.model.parameters())
            weight.data.view(torch.int32).view(-1)[: len(ulps)] += torch.tensor(ulps)

    then(Trainer, "_update", change)


def broken(cells: Cells, step: int) -> None:
    """Fail in the middle of a backward pass as nothing in the zoo foresees."""
    passes = [0]

    def fail(grad: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def come(result: Any, module: Step, *_: Any) -> None:
        passes[0] += 1
        if passes[0] == step:
            next(module.model.parameters()).register_hook(fail)

    then(Step, "forward", come)


def brief(cells: Cells) -> None:
    """Leave the main process little time to say why all end: no launcher is in a hurry here."""
    zoo.training.processes._LAST_WORDS_SECONDS = 0.3


def impatient(cells: Cells, seconds: float) -> None:
    """Wait for others no longer than that."""
    zoo.training.processes.PATIENCE = timedelta(seconds=seconds)


def counted(cells: Cells, weights: str, sizes: list[int], folder: str) -> None:
    """Instead of the command: validate a net on so many images, and write what came of it."""
    from safetensors.torch import load_file

    recipe, shares = load_recipe(Path(weights) / "recipe.yaml"), []
    accelerator = make_accelerator(recipe, Path(folder), ())
    data = load_data(recipe.data, "validation")
    model = build_model(recipe.model, data)
    model.load_state_dict(load_file(Path(weights) / "model.safetensors"))
    around(accelerator, "reduce", _noting(shares))
    found = [validate(model, data.take(n), recipe, accelerator) for n in sizes]
    content = json.dumps({"accuracies": found, "shares": shares})
    Path(folder, f"rank{accelerator.process_index}.json").write_text(content)
    raise SystemExit(0)


def _noting(shares: list[list[int]]) -> Callable[[Callable], Callable]:
    def make(reduce: Callable) -> Callable:
        def call(counts: torch.Tensor, how: str) -> torch.Tensor:
            assert counts.dtype == torch.int64
            shares.append(counts.tolist())
            return reduce(counts, how)

        return call

    return make


def wait_for(true: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait until something has come about, while a process lives."""
    patience = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience, "does not come so far"
        time.sleep(0.005)


if __name__ == "__main__":
    record(Path(os.environ["RECORD"]))
    from zoo.cli import main

    main()
