"""zoo certify: certified accuracy of published models at fixed eps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from zoo.cli.options import Debug, Json, Quiet, Verbose


class ListsBounds(TyperCommand):
    """A command whose help ends with the names of all bounds, looked up when it is asked for."""

    def get_help(self, ctx: typer.Context) -> str:
        from zoo.registry import registered_names

        names = ", ".join(registered_names("zoo.bounds"))
        self.epilog = f"Bounds (docs/bounds.md): {names}."
        return super().get_help(ctx)


def certify(
    models: Annotated[list[str], typer.Argument(help="Names or weight folders.")],
    eps: Annotated[
        list[str] | None,
        typer.Option(
            help="0.3, 8/255 or 0:0.4:41; repeat it or separate by commas. Default: card."
        ),
    ] = None,
    bound: Annotated[str, typer.Option(help="One of those below, or auto (the card's).")] = "auto",
    clip: Annotated[bool, typer.Option(help="Perturbed pixels stay in [0, 1].")] = True,
    data: Annotated[str, typer.Option(help="Dataset; auto is the card's.")] = "auto",
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    n: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    attack: Annotated[
        str | None, typer.Option(help="pgd or none. Default: pgd; none with --check.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or float64: what the model runs in.")] = (
        "float32"
    ),
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 256,
    out: Annotated[Path | None, typer.Option(help="Write the rows as CSV.")] = None,
    per_sample: Annotated[Path | None, typer.Option(help="Write each image's verdict.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Fail unless what the card claims of each image is met.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Certify models: how many images no perturbation within eps can change the class of."""
    from zoo.certification import Report, Row, evaluate
    from zoo.cli.show import make_folders, progress
    from zoo.errors import UsageError
    from zoo.publishing.claims import check_claims

    radii = "auto" if not eps else [part for text in eps for part in text.split(",")]
    if check:
        asked = (radii, bound, clip, data, split, n, dtype)
        if asked != ("auto", "auto", True, "auto", "test", None, "float32"):
            raise UsageError(
                "--check evaluates what the card claims: "
                "leave out --eps, --bound, --no-clip, --data, --split, --n and --dtype"
            )
    if per_sample is not None and len(models) > 1:
        raise UsageError("--per-sample writes the verdicts of one model: give one")
    make_folders(out, per_sample)

    def measured(name: str, show: Callable[[int, int], None]) -> Report:
        shared = {"batch_size": batch_size, "device": device, "progress": show, "quiet": quiet}
        if check:
            checked = check_claims(name, attack=attack, **shared)
            for note in ("all that the card claims of each image is met", *checked.notes):
                if not quiet:
                    print(f"{name}: {note}", file=sys.stderr)
            return checked.report
        return evaluate(
            name,
            data,
            eps=radii,
            split=split,
            bound=bound,
            clip=clip,
            attack=attack or "pgd",
            n=n,
            dtype=dtype,
            **shared,
        )

    rows: list[Row] = []
    try:
        for name in models:
            with progress(f"certify {name}", quiet=quiet) as show:
                report = measured(name, show)
            rows += report.rows
            if per_sample is not None:
                report.samples_to_csv(per_sample)
    finally:
        # An interrupted run keeps the models that it finished.
        if rows:
            print_rows(rows, json=json, quiet=quiet, verbose=verbose)
            if out is not None:
                Report(rows).to_csv(out)


def print_rows(rows: list, *, json: bool, quiet: bool, verbose: bool) -> None:
    """Rows as a table, as JSON (a list), or as name, eps and certified accuracy only."""
    from zoo.certification.report import COLUMNS, rows_to_json
    from zoo.cli.show import print_table

    if json:
        print(rows_to_json(rows))
    elif quiet:
        for row in rows:
            print(row.model, row.eps, f"{row.certified_acc:.2f}")
    elif verbose:
        print_table(COLUMNS, [list(row.to_dict().values()) for row in rows])
    elif rows:
        titles = ["model", "data", "n", "eps", "certified %", "attacked %", "clean %", "bound", "s"]
        keys = "model data n eps certified_acc empirical_acc clean_acc bound seconds".split()
        print_table(titles, [[getattr(row, key) for key in keys] for row in rows])
