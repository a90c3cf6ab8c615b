"""Runs as users meet them: train one, and look at the net that it kept.

A run folder holds the training form of a net; `zoo.publishing` makes the published form of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from zoo.certification.evaluate import evaluate
from zoo.certification.report import Report
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.layers import set_exponent
from zoo.recipes import Recipe
from zoo.tensors import load_tensors, sha256_of
from zoo.training import RunFolder, run_training
from zoo.training.build import build_model


def train(
    recipe: str | Path | Recipe,
    *,
    init: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    trackers: Sequence[str] = (),
    save_every: float | None = None,
    quiet: bool = False,
) -> Report:
    """Train what a recipe describes, and certify the kept net on the validation split.

    SIGINT or SIGTERM ends the current step, saves, and raises Interrupted; a second one ends the
    process at once.

    Args:
        recipe: name, YAML file, or a Recipe as it is.
        init: start from these weights instead of random ones: a published name, a weight folder or
            a run folder. Tensors whose shape does not fit are re-initialised, and listed.
        out: run folder, new or empty; runs/<name>-seed<seed> by default.
        resume: go on from the run folder's last checkpoint, to the same bits that an uninterrupted
            run on the same machine gives; a folder without a run starts one.
        overrides: {"schedules.lr.start": 0.01}, dotted keys of the recipe.
        trackers: names that accelerate knows, "tensorboard" say; they write into RUN/trackers.
        save_every: seconds between checkpoints; by default 60, or more where saving takes long.
        quiet: show no progress.

    Returns:
        One row at the recipe's eps on validation images; `report.run` is the run folder, which
        `zoo publish` takes.

    Raises:
        NotFoundError: no such recipe or dataset.
        UsageError: a recipe that does not check, a batch larger than the data, a run folder that is
            used, in use or of another recipe, weights of which nothing fits.
        IntegrityError: no checkpoint of the run is whole.
        ZooError: a loss, gradient or weight is no longer finite, or the disk is full.
        Interrupted: a signal came.
    """
    run = run_training(
        recipe,
        init=init,
        out=out,
        resume=resume,
        overrides=overrides,
        trackers=trackers,
        save_every=save_every,
        quiet=quiet,
    )
    validation = load_data(run.recipe.data, "validation")
    net = trained_net(run, validation)
    settings = {"eps": run.recipe.eps, "bound": run.recipe.bound, "attack": None, "quiet": quiet}
    report = evaluate(net, validation, **settings)
    named = {"model": run.recipe.name, "recipe": run.recipe.name}
    sha256 = sha256_of(run.path / "model.safetensors")
    rows = [replace(row, sha256=sha256, **named) for row in report.rows]
    return replace(report, rows=rows, run=run.path)


def trained_net(run: RunFolder, data: Pixels) -> nn.Module:
    """The run's kept weights in their training form, at p = inf in eval mode.

    Args:
        data: any split of the run's dataset; it gives image size, classes and normalisation.
    """
    model = build_model(run.recipe.model, data)
    load_tensors(model, run.path / "model.safetensors")
    set_exponent(model, math.inf)
    return model.eval()
