"""zoo plot: certified accuracy against eps, or the learning curves of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def plot(
    sources: Annotated[
        list[str],
        typer.Argument(help="NAME of a model, CSV file of results, or RUN folder; runs go apart."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Image to write.")] = Path("curves.png"),
    minutes: Annotated[
        bool, typer.Option("--minutes", help="Runs: against minutes of training, not epochs.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Draw models or results against eps, or runs as they learn; print the path of the image."""
    from zoo.cli.show import print_json
    from zoo.errors import UsageError
    from zoo.plots import draw_training, is_run
    from zoo.plots import plot as draw

    if minutes:
        others = [source for source in sources if not is_run(source)]
        if others:
            raise UsageError(f"--minutes is for run folders only, not for {', '.join(others)}")
        path = draw_training(*sources, path=out, x="minutes")
    else:
        path = draw(*sources, path=out)
    if json:
        print_json([{"path": str(path)}])
    else:
        print(path)
