"""zoo plot: curves of certified accuracy against eps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def plot(
    sources: Annotated[list[str], typer.Argument(help="Model names or CSV files of results.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Image to write.")] = Path("curves.png"),
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Draw certified accuracy against eps, and print the path of the image."""
    from zoo.cli.show import print_json
    from zoo.plots import plot as draw

    path = draw(*sources, path=out)
    if json:
        print_json([{"path": str(path)}])
    else:
        print(path)
