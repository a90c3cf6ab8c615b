"""zoo info: the card of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import Debug, Json, Quiet, Verbose


def info(
    name: Annotated[str, typer.Argument(help="A model's name, or a weight folder.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Show a model's card: what it is, what is claimed of it, how to make it again."""
    from zoo.cards.index import info as read_card
    from zoo.cli.show import print_fields, print_json
    from zoo.eps import format_eps

    card = read_card(name)
    if json:
        print_json([card.model_dump(mode="json")])
        return
    if quiet:
        print(card.name)
        return
    counts, training = card.counts, card.training
    fields = {
        "model": card.name,
        "source": card.source,
        "data": f"{card.data}, {counts.n} {card.split} images",
        "eps": f"{format_eps(card.eps)} (l_inf, pixels in [0, 1])",
        "certified": f"{card.certified_acc:.2f} % ({counts.n_certified} images, {card.bound})",
        "under attack": f"{card.empirical_acc:.2f} % ({card.attack})"
        if card.empirical_acc is not None
        else "not attacked",
        "clean": f"{card.clean_acc:.2f} % ({counts.n_clean} images)",
        "params": card.params,
        "sha256": card.sha256,
        "make again": f"zoo train {card.name} seed={training.seed}",
        "license": card.license,
    }
    if verbose:
        fields |= {
            "certified A": counts.n_certified_a,
            "certified B": counts.n_certified_b,
            "naive": counts.n_certified_naive,
            "split sha256": card.split_sha256,
            "commit": training.commit,
            "torch": training.torch,
            "seconds": training.seconds,
        }
    print_fields(fields)
