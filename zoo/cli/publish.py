"""zoo publish: a run to a weight folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose, Weights


def publish(
    run: Annotated[Path, typer.Argument(help="A folder that zoo train made.")],
    out: Weights = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Fold a run's net, certify and attack it on the test split, write weights and card."""
    from zoo.cli.show import print_weight_folder, progress
    from zoo.publishing import publish as write

    with progress(f"publish {run}", quiet=quiet) as show:
        folder = write(run, out=out, progress=show, quiet=quiet)
    print_weight_folder(folder, json=json)
