"""zoo publish: a run to a weight folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def publish(
    run: Annotated[Path, typer.Argument(help="A folder that zoo train made.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the weight folder. Default: the zoo's own.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Fold a run's net, certify and attack it on the test split, write weights and card."""
    from zoo.cards.card import Card
    from zoo.cli.show import print_json, progress
    from zoo.publishing import publish as write

    with progress(f"publish {run}", quiet=quiet) as show:
        folder = write(run, out=out, progress=show, quiet=quiet)
    if json:
        print_json([Card.read(folder).model_dump(mode="json")])
    else:
        print(folder)
