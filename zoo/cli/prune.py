"""zoo prune: a published net without its idle edges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def prune(
    model: Annotated[str, typer.Argument(help="A name from zoo list, or a weight folder.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the weight folder. Default: the zoo's own.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Drop edges that win for no training image, certify and attack what is left, write it."""
    from zoo.cards.card import Card
    from zoo.cli.show import print_json, progress
    from zoo.pruning import prune as write

    with progress(f"prune {model}", quiet=quiet) as show:
        folder = write(model, out=out, progress=show, quiet=quiet)
    if json:
        print_json([Card.read(folder).model_dump(mode="json")])
    else:
        print(folder)
