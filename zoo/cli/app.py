"""The zoo command: verbs, exit codes, signals."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import typer

from zoo.cli.attack import attack
from zoo.cli.average import average
from zoo.cli.build import build
from zoo.cli.certify import ListsBounds, certify
from zoo.cli.env import env
from zoo.cli.info import info
from zoo.cli.list import list_
from zoo.cli.plot import plot
from zoo.cli.prune import prune
from zoo.cli.publish import publish
from zoo.cli.recipe import recipe
from zoo.cli.train import train
from zoo.errors import Interrupted, ZooError

app = typer.Typer(
    name="zoo",
    help="Certifiably robust image classifiers: take one, train one, certify it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(list_)
app.command()(info)
app.command(cls=ListsBounds)(certify)
app.command()(attack)
app.command()(train)
app.command()(publish)
app.command()(prune)
app.command()(average)
app.add_typer(recipe, name="recipe")
app.command()(plot)
app.command()(build)
app.command()(env)


def main() -> NoReturn:
    """Run the command line; the exit code says what kind of error ended it (zoo.errors)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        app()
    except BrokenPipeError:
        # The reader left early, as `head` does; there is no one to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ZooError as error:
        _show_traceback()
        label = "" if isinstance(error, Interrupted) else "error: "
        print(f"{label}{error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        _show_traceback()
        print(
            f"error: {type(error).__name__}: {error}\n"
            "  this is not an error we foresaw: run again with --debug and report what it shows",
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(0)


def _show_traceback() -> None:
    """With --debug, and without a change to the exit code."""
    if "--debug" in sys.argv:
        traceback.print_exc()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Unwind, so that a command can print what it has, and exit as the shell expects."""
    raise SystemExit(128 + number)
