"""zoo publish: a run to a weight folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Restarts, Steps, Verbose, Weights


def publish(
    run: Annotated[
        str,
        typer.Argument(help="A run folder; or a weight folder or name, to measure it anew."),
    ],
    seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", help="A run of the same recipe under another seed; repeatable."),
    ] = None,
    steps: Steps = 100,
    restarts: Restarts = 5,
    out: Weights = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Fold a run's net, certify and attack it on the test split, write weights and card.

    Given a weight folder instead: its weights stay, its claims are measured and written anew.
    """
    from zoo.attacks.pgd import PGD
    from zoo.cards.index import read_index
    from zoo.cli.show import print_weight_folder, progress
    from zoo.errors import UsageError
    from zoo.publishing.from_run import publish as write
    from zoo.publishing.release import Measuring, measure_again

    is_run = (Path(run) / "run.json").is_file()
    published = not is_run and (run in read_index() or (Path(run) / "config.json").is_file())
    if published and out is not None:
        raise UsageError(f"{run} is a weight folder, whose claims are renewed in place: no --out")
    if published and seeds:
        raise UsageError(f"{run} is a weight folder: its seeds were measured with its run")
    attack = PGD(steps=steps, restarts=restarts)
    with progress(f"publish {run}", quiet=quiet) as show:
        if published:
            folder = measure_again(run, Measuring(attack, show, quiet))
        else:
            own = {"siblings": seeds or (), "attack": attack, "out": out}
            folder = write(run, **own, progress=show, quiet=quiet)
    print_weight_folder(folder, json=json)
