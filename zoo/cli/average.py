"""zoo average: the mean of published nets, over nets and views of the image."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Restarts, Steps, Verbose, Weights


def average(
    models: Annotated[list[str], typer.Argument(help="Names from zoo list, or weight folders.")],
    name: Annotated[str, typer.Option(help="linf_average.<data>_eps<e>[_variant].")],
    views: Annotated[
        str, typer.Option(help="Of same, flip, up, down, left, right, with commas between them.")
    ] = "same",
    steps: Steps = 100,
    restarts: Restarts = 5,
    out: Weights = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Average the logits of nets over views of the image, certify and attack that, write it."""
    from zoo.attacks.pgd import PGD
    from zoo.cli.show import print_weight_folder, progress
    from zoo.publishing.averaged import average as write

    seen = [view.strip() for view in views.split(",")]
    with progress(f"average {name}", quiet=quiet) as show:
        own = {"out": out, "attack": PGD(steps=steps, restarts=restarts)}
        folder = write(*models, name=name, views=seen, **own, progress=show, quiet=quiet)
    print_weight_folder(folder, json=json)
