"""zoo train: a recipe to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key.sub=value settings to change.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--from", help="Fine-tune: a published name, a weight folder, a run folder."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. Default: runs/<recipe>-seed<seed>.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    save_every: Annotated[
        float | None, typer.Option(min=0, help="Seconds between checkpoints. Default: 60 or more.")
    ] = None,
    track: Annotated[
        list[str] | None, typer.Option(help="A tracker of accelerate's: tensorboard, wandb, ...")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the recipe, do nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train a recipe. Several GPUs: accelerate launch -m zoo train RECIPE."""
    from zoo.cli.show import print_json
    from zoo.errors import UsageError
    from zoo.recipes import load_recipe

    changes = {}
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{text!r} is not key=value\n  for example: schedules.lr.start=0.01")
        changes[key] = value
    resolved = load_recipe(recipe, changes)
    if init is not None:
        resolved = resolved.model_copy(update={"init": init})
    if dry_run:
        from zoo.cli.recipe import print_recipe

        print_recipe(resolved, json=json)
        return
    from zoo.training import is_main_process, run_training

    run = run_training(
        resolved, out=out, resume=resume, trackers=track or (), save_every=save_every, quiet=quiet
    )
    if not is_main_process():  # one result, however many processes
        return
    if json:
        print_json([{"run": str(run.path)} | run.summary()])
    else:
        print(run.path)
