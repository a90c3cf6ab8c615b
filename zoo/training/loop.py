"""A run from its recipe to a finished folder: read top to bottom, it is what happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed

from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.errors import UsageError
from zoo.plots.training import draw_training
from zoo.recipes import Recipe, load_recipe
from zoo.storage.lock import FolderLock
from zoo.training.batches import Batches
from zoo.training.build import build_model, check_precision
from zoo.training.checkpoints import read_checkpoint
from zoo.training.environment import environment
from zoo.training.log import RunLog
from zoo.training.plan import Plan
from zoo.training.processes import check_equal_bits, make_accelerator, on_main, together, unwrap
from zoo.training.published_sizes import with_published_sizes
from zoo.training.run import RunFolder
from zoo.training.signals import StopRequest
from zoo.training.state import TrainingState, check_finite
from zoo.training.teacher import Teacher
from zoo.training.trainer import Trainer, Watch
from zoo.training.warm_start import WarmStart, warm_start


def run_training(
    recipe: str | Path | Recipe,
    *,
    init: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    trackers: Sequence[str] = (),
    save_every: float | None = None,
    quiet: bool = False,
    watch: Watch | None = None,
) -> RunFolder:
    """Train what a recipe describes and leave a finished run folder; see zoo.runs.train.

    Args:
        watch: called in every process with the model and the number of epochs that are over, after
            each of them; it must leave the model as it is.
    """
    run = RunFolder.at(_resolved(recipe, overrides, init), out)
    accelerator = make_accelerator(run.recipe, run.path, trackers)
    with together(accelerator):
        _train(run, accelerator, resume, save_every, quiet, watch)
    return run


def _train(
    run: RunFolder,
    accelerator: Accelerator,
    resume: bool,
    save_every: float | None,
    quiet: bool,
    watch: Watch | None,
) -> None:
    """What happens in the folder while it is ours."""
    locks: list[FolderLock] = []
    # Before any folder is made: a recipe that cannot be built leaves no trace.
    parts = _Parts.build(run, accelerator)
    with ExitStack() as held:
        on_main(accelerator, lambda: locks.append(held.enter_context(run.owned(resume=resume))))
        if on_main(accelerator, lambda: run.finished):
            return
        trainer = _prepare(run, accelerator, parts, quiet=quiet)
        held.callback(unwrap, trainer.module)
        trainer.lock, trainer.save_every = (locks or [None])[0], save_every
        trainer.watch = watch
        with trainer.log, StopRequest() as stop:
            trainer.train(stop)
        _finish(trainer)


def _resolved(
    recipe: str | Path | Recipe, overrides: Mapping[str, Any] | None, init: str | Path | None
) -> Recipe:
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise UsageError("overrides apply to a recipe's name or file, not to a loaded Recipe")
    if init is not None:
        recipe = recipe.model_copy(update={"init": str(init)})
    return with_published_sizes(recipe)


@dataclass
class _Parts:
    """What a run is made of, at its first point."""

    data: Pixels
    validation: Pixels
    batches: Batches
    state: TrainingState
    began: WarmStart | None

    @classmethod
    def build(cls, run: RunFolder, accelerator: Accelerator) -> _Parts:
        recipe = run.recipe
        data = load_data(recipe.data, recipe.train_on).to(accelerator.device)
        validation = load_data(recipe.data, "validation").to(accelerator.device)
        rank, num_processes = accelerator.process_index, accelerator.num_processes
        batches = Batches(recipe, data, rank, num_processes)
        set_seed(recipe.seed)
        model = build_model(recipe.model, data)
        check_precision(recipe, model)
        began = None
        if recipe.init is not None and not run.checkpoints.exist:
            began = warm_start(model, recipe.init)
        teacher = None
        if recipe.teacher is not None:
            teacher = Teacher.find(recipe.teacher, data.num_classes, accelerator.device)
        state = TrainingState.fresh(model, recipe, accelerator.device, teacher)
        return cls(data, validation, batches, state, began)


def _prepare(run: RunFolder, accelerator: Accelerator, parts: _Parts, *, quiet: bool) -> Trainer:
    """Go to the last checkpoint, if there is one, and get ready to go on from there."""
    recipe, main, state = run.recipe, accelerator.is_main_process, parts.state
    facts: dict[str, Any] = environment(accelerator)
    notes: list[str] = []
    if recipe.teacher is not None and state.module.teacher is not None:
        sha256 = state.module.teacher.sha256
        facts |= {"teacher": recipe.teacher.source, "teacher_sha256": sha256}
    newest = on_main(accelerator, lambda: run.checkpoints.latest(notes.append))
    if newest is not None:
        state.unpack(read_checkpoint(newest), main=main)
    elif parts.began is not None:
        facts |= {"init": parts.began.source, "init_sha256": parts.began.sha256}
        notes.append(str(parts.began))
    # On resuming, TensorBoard forgets what a crash has undone.
    again = {"tensorboard": {"purge_step": state.epochs + 1}}
    accelerator.init_trackers(run.recipe.name, init_kwargs=again)
    log = RunLog(run.path, recipe.epochs, state.epochs, main=main, quiet=quiet)
    on_main(accelerator, lambda: run.add_environment(facts, notes.append))
    for text in (_plan(run, parts, facts), *notes):
        log.say(str(text))
    module, optimizer = accelerator.prepare(state.module, state.optimizer)
    return Trainer(
        accelerator=accelerator,
        recipe=recipe,
        batches=parts.batches,
        validation=parts.validation,
        state=state,
        module=module,
        optimizer=optimizer,
        run=run,
        log=log,
    )


def _plan(run: RunFolder, parts: _Parts, facts: dict[str, Any]) -> Plan:
    data, batches, state = parts.data, parts.batches, parts.state
    machine = f"{facts['processes']} x {facts['processor']}, {facts['threads']} threads"
    return Plan(
        data=f"{data.name} {data.split}",
        images=len(data),
        model=run.recipe.model.name,
        parameters=sum(weight.numel() for weight in state.module.model.parameters()),
        epochs=run.recipe.epochs,
        steps_per_epoch=batches.steps_per_epoch,
        batch_size=run.recipe.batch_size,
        machine=machine,
        folder=str(run.path),
        done=state.step,
    )


def _finish(trainer: Trainer) -> None:
    """Write what the run leaves."""
    run, state, selection = trainer.run, trainer.state, trainer.state.selection
    check_equal_bits(trainer.accelerator, selection.state)
    starts = run.environments()
    began = [start for start in starts if "init" in start]

    def write() -> None:
        check_finite(selection.state, state.step, state.epochs)
        summary = {
            "seed": run.recipe.seed,
            "selected_epoch": selection.epoch,
            "validation_certified_acc": selection.certified,
            "seconds": round(trainer.seconds, 1),
        }
        if began:
            summary |= {key: began[-1][key] for key in ("init", "init_sha256")}
        taught = starts[-1].keys() & {"teacher", "teacher_sha256"}
        summary |= {key: starts[-1][key] for key in sorted(taught)}
        draw_training(run.path, path=run.path / "curves.png")
        run.finish(selection.state, summary)

    on_main(trainer.accelerator, write)
