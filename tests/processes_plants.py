"""What is planted in processes of one run, and what they report.

Run as a program this file is the zoo command with a record of it: what tests give to a launcher in
place of ``-m zoo``, with the folder for the record in $RECORD.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from faults.forks import Cells
from faults.plants import around, first, then

import zoo.training.loop
import zoo.training.processes
import zoo.training.trainer
from zoo.data.load import load_data
from zoo.recipes import load_recipe
from zoo.training.build import build_model
from zoo.training.processes import make_accelerator
from zoo.training.select import validate
from zoo.training.step import Step
from zoo.training.trainer import Trainer


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


if __name__ == "__main__":
    record(Path(os.environ["RECORD"]))
    from zoo.cli import main

    main()
