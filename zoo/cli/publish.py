"""zoo publish: a run to a weight folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose, Weights


def publish(
    run: Annotated[
        str,
        typer.Argument(help="A run folder; or a weight folder or name, to measure it anew."),
    ],
    out: Weights = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Fold a run's net, certify and attack it on the test split, write weights and card.

    Given a weight folder instead: its weights stay, its claims are measured and written anew.
    """
    from zoo.cards.index import read_index
    from zoo.cli.show import print_weight_folder, progress
    from zoo.errors import UsageError
    from zoo.publishing.from_run import publish as write
    from zoo.publishing.release import Measuring, measure_again

    is_run = (Path(run) / "run.json").is_file()
    published = not is_run and (run in read_index() or (Path(run) / "config.json").is_file())
    if published and out is not None:
        raise UsageError(f"{run} is a weight folder, whose claims are renewed in place: no --out")
    with progress(f"publish {run}", quiet=quiet) as show:
        if published:
            folder = measure_again(run, Measuring(progress=show, quiet=quiet))
        else:
            folder = write(run, out=out, progress=show, quiet=quiet)
    print_weight_folder(folder, json=json)
