"""zoo prune: a published net without its idle edges."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Restarts, Steps, Verbose, Weights


def prune(
    model: Annotated[str, typer.Argument(help="A name from zoo list, or a weight folder.")],
    steps: Steps = 100,
    restarts: Restarts = 5,
    out: Weights = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Drop edges that win for no training image, certify and attack what is left, write it."""
    from zoo.attacks.pgd import PGD
    from zoo.cli.show import print_weight_folder, progress
    from zoo.publishing.pruned import prune as write

    with progress(f"prune {model}", quiet=quiet) as show:
        own = {"out": out, "attack": PGD(steps=steps, restarts=restarts)}
        folder = write(model, **own, progress=show, quiet=quiet)
    print_weight_folder(folder, json=json)
