"""Runs as users meet them: train one, and look at the net that it kept.

A run folder holds the training form of a net; `zoo.publishing` makes the published form of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from zoo.training import RunFolder, run_training
from zoo.training.build import build_model
from zoo.weights import load_tensors, sha256_of


def train(
    recipe: str | Path | Recipe,
    *,
    out: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Report:
    """Train what a recipe describes, and certify the kept net on the validation split.

    Args:
        recipe: name, YAML file, or a Recipe as it is.
        out: run folder, new or empty; runs/<name>-seed<seed> by default.
        overrides: {"schedules.lr.start": 0.01}, dotted keys of the recipe.
        quiet: show no progress.

    Returns:
        One row at the recipe's eps on validation images; `report.run` is the run folder, which
        `zoo publish` takes.

    Raises:
        NotFoundError: no such recipe or dataset.
        UsageError: a recipe that does not check, a batch larger than the data, a used run folder.
        ZooError: the loss is no longer finite.
    """
    run = run_training(recipe, out=out, overrides=overrides, quiet=quiet)
    validation = load_data(run.recipe.data, "validation")
    net = trained_net(run, validation)
    settings = {"eps": run.recipe.eps, "bound": run.recipe.bound, "attack": None}
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
