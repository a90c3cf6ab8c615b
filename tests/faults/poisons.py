"""Plants in what a run computes: values that are not finite, and memory that runs out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

import zoo.training.trainer
from faults.forks import Cells
from faults.plants import around, first, then
from zoo.layers import lp_dist as layer_module
from zoo.training.batches import Batches
from zoo.training.step import Step
from zoo.training.trainer import Trainer


def poisoned(cells: Cells, where: str, step: int, value: float, seed: int) -> None:
    """Put a value that is not finite into one number of a step, which counts from 1.

    Args:
        where: "loss", "gradient", "weight" (the objective has some too), "weight of the net",
            "average" or "moment" (the optimiser's).
    """
    generator, seen = torch.Generator().manual_seed(seed), [0]

    def poison(tensor: torch.Tensor) -> torch.Tensor:
        i = int(torch.randint(tensor.numel(), (), generator=generator))
        tensor = tensor.detach().clone()
        tensor.view(-1)[i] = value
        return tensor

    def some(tensors: list[torch.Tensor]) -> torch.Tensor:
        return tensors[int(torch.randint(len(tensors), (), generator=generator))]

    def note(batches: Batches, at: int) -> None:
        seen[0] = at + 1

    def forward(function: Callable) -> Callable:
        def call(module: Step, *arguments: Any) -> Any:
            loss, correct = function(module, *arguments)
            if seen[0] == step and where == "loss":
                loss = loss + value
            if seen[0] == step and where == "gradient":
                some(list(module.parameters())).register_hook(poison)
            return loss, correct

        return call

    def after_the_step(_: Any, trainer: Trainer) -> None:
        state = trainer.state
        if state.step == step:
            average = [] if state.ema is None else list(state.ema.module.parameters())
            tensors = {
                "weight": list(state.module.parameters()),
                "weight of the net": list(state.module.model.parameters()),
                "average": average,
                "moment": [entry["exp_avg"] for entry in state.optimizer.state.values()],
            }
            chosen = some(tensors[where])
            chosen.data.copy_(poison(chosen))

    first(Batches, "__call__", note)
    around(Step, "forward", forward)
    if where not in ("loss", "gradient"):
        then(Trainer, "_update", after_the_step)


def starved(cells: Cells, step: int) -> None:
    """Have no memory left for a training step, which counts from 1."""

    def fail(batches: Batches, at: int) -> None:
        if at + 1 == step:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    first(Batches, "__call__", fail)


def out_of_memory(cells: Cells, calls: list[int]) -> None:
    """Run out of memory in these calls of the distance layers' ops during validation."""
    words = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4320000 bytes."
    errors = (MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(words))
    inside, numbers, kinds = [False], itertools.count(1), itertools.cycle(errors)

    def failing(op: Callable) -> Callable:
        def call(*arguments: Any) -> Any:
            if inside[0] and next(numbers) in calls:
                cells.count += 1
                raise next(kinds)
            return op(*arguments)

        return call

    def entered(function: Callable) -> Callable:
        def call(*arguments: Any, **options: Any) -> Any:
            inside[0] = True
            try:
                return function(*arguments, **options)
            finally:
                inside[0] = False

        return call

    for name in ("lp_dist", "linf_dist_bounds"):
        around(layer_module, name, failing)
    around(zoo.training.trainer, "validate", entered)
