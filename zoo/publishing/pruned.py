"""zoo.prune: a published net without the edges that decide nothing, certified as itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from zoo.attacks import Attack
from zoo.cards.card import Card
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.errors import UsageError
from zoo.models import LinfDistMLP
from zoo.models import prune as without_idle_edges
from zoo.names import parse_name
from zoo.publishing.release import Claim, Measuring, release, vacant
from zoo.weights import load

_BATCH = 512


def prune(
    name_or_path: str | Path,
    *,
    out: str | Path | None = None,
    attack: Attack | None = None,
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Path:
    """Keep the edges that win for a training image, certify and attack what is left, write it.

    The claim is measured anew: the pruned net is another function. Its name ends in `_pruned`.

    Args:
        name_or_path: a published net, or a weight folder.
        out: folder that holds weight folders and index.json; the zoo's own by default.
        attack: what certified images must survive; PGD with 100 steps and 5 restarts by default.
        progress: called with (images done, images in all).
        quiet: say nothing on stderr.

    Returns:
        The new folder, out/<name>_pruned.

    Raises:
        NotFoundError, IntegrityError: see load and load_data.
        UsageError: a net that is pruned already or has no distance layers; a name that is taken.
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    model = load(name_or_path)
    card = cast(Card, model.card)
    if not isinstance(model, LinfDistMLP):
        raise UsageError(f"prune takes l_inf-distance nets, {card.name} is {type(model).__name__}")
    name = f"{card.name}_pruned"
    parse_name(name)
    parent = vacant(out, name, "another folder with --out")
    test = load_data(card.data, "test")
    pruned = without_idle_edges(model, _images(load_data(card.data, "train")))
    about = card.model_dump(include={"mean", "std", "source", "reported"}) | {
        "training": card.training,
        "pruned_from": card.name,
        "pruned_from_sha256": card.sha256,
    }
    claim = Claim(name, card.arch, card.eps, card.bound)
    return release(pruned, claim, about, test, parent, Measuring(attack, progress, quiet))


def _images(pixels: Pixels) -> Iterator[Tensor]:
    for idx_B in torch.arange(len(pixels)).split(_BATCH):
        yield pixels.batch(idx_B)[0]
