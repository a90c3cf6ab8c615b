"""zoo attack: empirical robust accuracy, and a check of the certificates while at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def attack(
    model: Annotated[str, typer.Argument(help="A name or a weight folder.")],
    eps: Annotated[str | None, typer.Option(help="0.3 or 8/255; the card's by default.")] = None,
    method: Annotated[str, typer.Option(help="pgd.")] = "pgd",
    steps: Annotated[int, typer.Option(help="Gradient steps in each restart.")] = 100,
    restarts: Annotated[int, typer.Option(help="Starts for each image.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the random starts.")] = 0,
    clip: Annotated[bool, typer.Option(help="Perturbed pixels stay in [0, 1].")] = True,
    data: Annotated[str, typer.Option(help="Dataset; auto is the card's.")] = "auto",
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    n: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Write the row as CSV.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Attack every correctly classified image of a split; a broken certificate exits with 6."""
    from zoo.attacks import attacks
    from zoo.certification import evaluate
    from zoo.cli.certify import print_rows
    from zoo.cli.show import make_folders, progress

    spec = {"name": method, "steps": steps, "restarts": restarts, "seed": seed}
    make_folders(out)
    with progress(f"attack {model}", quiet=quiet) as show:
        report = evaluate(
            model,
            data,
            eps=eps or "auto",
            split=split,
            clip=clip,
            attack=attacks.build(spec),
            n=n,
            device=device,
            progress=show,
            quiet=quiet,
        )
    if out is not None:
        report.to_csv(out)
    print_rows(list(report.rows), json=json, quiet=quiet, verbose=verbose)
