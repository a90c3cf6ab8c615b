"""Options that every command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Weights = Annotated[
    Path | None, typer.Option("--out", help="Folder for the weight folder. Default: the zoo's own.")
]
Steps = Annotated[int, typer.Option(help="Steps of the attack.")]
Restarts = Annotated[int, typer.Option(help="Restarts of the attack.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print names or paths only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print all columns.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
