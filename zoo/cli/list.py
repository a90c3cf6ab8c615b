"""zoo list: what there is, from one small file."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def list_(
    pattern: Annotated[str, typer.Argument(help="Names to list, with * and ?.")] = "*",
    data: Annotated[str | None, typer.Option(help="Only models for this dataset.")] = None,
    eps: Annotated[str | None, typer.Option(help="Only models that claim this eps.")] = None,
    method: Annotated[str | None, typer.Option(help="Only this architecture or variant.")] = None,
    pretrained: Annotated[bool, typer.Option(help="Only models with published weights.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """List models: those with weights, and those that have a recipe only."""
    from zoo.cards.index import list_models, read_index
    from zoo.cli.show import print_json, print_table

    names = list_models(pattern, data=data, eps=eps, method=method, pretrained=pretrained)
    index = read_index()
    if quiet:
        for name in names:
            print(name)
        return
    if json:
        print_json([{"model": name, "weights": index.get(name)} for name in names])
        return
    columns = ["model", "eps", "certified %", "clean %", "params", "MB"]
    extra = ["bound", "sha256"] if verbose else []
    rows = []
    for name in names:
        entry = index.get(name)
        if entry is None:
            rows.append([f"{name} (recipe only)", *[None] * (len(columns) + len(extra) - 1)])
            continue
        percent = [100 * entry[key] / entry["n"] for key in ("n_certified", "n_clean")]
        size = entry["bytes"] / 1e6
        rows.append([name, entry["eps"], *percent, entry["params"], size])
        rows[-1] += [entry[key] for key in extra]
    print_table(columns + extra, rows)
