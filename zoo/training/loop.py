"""The training loop: read top to bottom, it is what happens.

Shapes: N images of the training split, B global batch, b this process's share of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from timm.utils import ModelEmaV3  # pyright: ignore[reportPrivateImportUsage]

from zoo.data.affine import Affine
from zoo.data.augment import Augment
from zoo.data.load import load_data
from zoo.data.order import epoch_order
from zoo.data.pixels import Pixels
from zoo.errors import UsageError, ZooError
from zoo.recipes import Recipe, load_recipe
from zoo.training.build import build_model, build_optimizer
from zoo.training.log import RunLog
from zoo.training.run import RunFolder
from zoo.training.select import Selection, validate
from zoo.training.step import Step
from zoo.version import source_commit


def run_training(
    recipe: str | Path | Recipe,
    *,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> RunFolder:
    """Train what a recipe describes and leave a finished run folder; see zoo.runs.train."""
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise UsageError("overrides apply to a recipe's name or file, not to a loaded Recipe")
    commit = source_commit()  # now: the tree may change while the run goes on
    accelerator = Accelerator(mixed_precision="no")
    set_seed(recipe.seed)
    data = load_data(recipe.data, recipe.train_on).to(accelerator.device)
    validation = load_data(recipe.data, "validation").to(accelerator.device)
    check_batch_size(recipe, data, accelerator.num_processes)
    model = build_model(recipe.model, data)
    step = Step(model, recipe.objective).to(accelerator.device)
    optimizer = build_optimizer(step, recipe)
    run = RunFolder.create(recipe, out, main=accelerator.is_main_process)
    step, optimizer = accelerator.prepare(step, optimizer)
    ema = None if recipe.ema is None else ModelEmaV3(model, decay=recipe.ema)
    selection = Selection(recipe.select)

    start = time.monotonic()
    with RunLog(run.path, recipe.epochs, main=accelerator.is_main_process, quiet=quiet) as log:
        for epoch in range(recipe.epochs):
            row = train_epoch(accelerator, step, optimizer, data, recipe, epoch, ema)
            last = epoch + 1 == recipe.epochs
            if last or (epoch + 1) % recipe.evaluate_every == 0:
                kept = model if ema is None else ema.module
                row["val_acc"], row["val_cert"] = validate(kept, validation, recipe)
                selection.offer(kept, row["val_cert"], epoch + 1, last=last)
            log.epoch(row | {"seconds": round(time.monotonic() - start, 2)})
    if accelerator.is_main_process:
        seconds = time.monotonic() - start
        run.finish(selection, seconds=seconds, device=str(accelerator.device), commit=commit)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return run


def train_epoch(
    accelerator: Accelerator,
    step: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Pixels,
    recipe: Recipe,
    epoch: int,
    ema: ModelEmaV3 | None,
) -> dict[str, Any]:
    """One pass over the training split; the ragged rest of a shuffled epoch is left out."""
    step.train()
    steps = len(data) // recipe.batch_size
    share = recipe.batch_size // accelerator.num_processes
    affine = Affine(**recipe.augment.affine.model_dump())
    crop = Augment(recipe.augment.pad, recipe.augment.flip)
    draws = {"seed": recipe.seed, "epoch": epoch, "n": len(data)}
    order_N = epoch_order(recipe.seed, epoch, len(data))
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    knobs: dict[str, float] = {}
    for i in range(steps):
        # Everything that changes with time is a pure function of progress.
        knobs = recipe.schedules.at((epoch * steps + i) / (recipe.epochs * steps))
        for group in optimizer.param_groups:
            group["lr"] = knobs["lr"] * group["lr_share"]
        first = i * recipe.batch_size + accelerator.process_index * share
        idx_b = order_N[first : first + share]
        x_bCHW, y_b = data.batch(idx_b)
        x_bCHW = crop(affine(x_bCHW, idx_b, **draws), idx_b, **draws)
        loss, num_correct = step(x_bCHW, y_b, knobs)
        if not loss.isfinite():
            raise ZooError(
                f"the loss is {loss.item()} at epoch {epoch + 1}, step {i + 1}\n"
                "  a smaller schedules.lr.start may help; the log up to here is kept"
            )
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        if ema is not None:
            ema.update(accelerator.unwrap_model(step).model)
        sums += torch.stack([loss.detach() * share, num_correct])
    total = accelerator.reduce(sums, "sum")
    assert isinstance(total, torch.Tensor)
    loss, acc = (total / (steps * recipe.batch_size)).tolist()
    return {"epoch": epoch + 1, "loss": loss, "acc": 100 * acc, "p": knobs["p"], "lr": knobs["lr"]}


def check_batch_size(recipe: Recipe, data: Pixels, num_processes: int) -> None:
    """Refuse a global batch that the data or the processes cannot share out."""
    if recipe.batch_size > len(data):
        raise UsageError(
            f"batch_size {recipe.batch_size} exceeds the {len(data)} images of {recipe.data}\n"
            f"  give batch_size={len(data)} or less"
        )
    if recipe.batch_size % num_processes:
        raise UsageError(
            f"batch_size {recipe.batch_size} is not a multiple of the {num_processes} processes\n"
            "  it is the global batch: choose a multiple"
        )
