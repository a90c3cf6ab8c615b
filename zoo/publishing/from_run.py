"""Publish: a finished run becomes a weight folder, its claims measured on the written file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.attacks import Attack
from zoo.cards.card import Card, Training
from zoo.cards.index import enter, read_index
from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.models import Net, published_form
from zoo.names import contradiction
from zoo.paths import weights_dir
from zoo.publishing.release import Claim, Measuring, release
from zoo.publishing.siblings import measured_siblings
from zoo.runs import trained_net
from zoo.tensors import check_file, save_tensors, sha256_of
from zoo.training import RunFolder


def publish(
    run: str | Path,
    *,
    siblings: Sequence[str | Path] = (),
    out: str | Path | None = None,
    attack: Attack | None = None,
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Path:
    """Fold a run's net, certify and attack it on the test split, and write its weight folder.

    Args:
        run: a folder that `zoo train` finished.
        siblings: runs of the same recipe under other seeds, for the card.
        out: folder that holds weight folders and index.json; the zoo's own by default.
        attack: what certified images must survive; PGD with 100 steps and 5 restarts by default.
        progress: called with (images done, images in all).
        quiet: say nothing on stderr.

    Returns:
        The new folder, out/<name>.

    Raises:
        NotFoundError: no finished run there.
        UsageError: a recipe whose name is no model name, or a name that is taken; siblings of
            another recipe, or with better validation figures.
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    finished = RunFolder.open(run)
    recipe = finished.recipe
    said = contradiction(recipe.name, recipe.model.name, recipe.data, recipe.eps)
    if said is not None:
        raise UsageError(f"recipe {recipe.name}: {said}\n  give it a name that fits")
    parent = weights_dir() if out is None else Path(out)
    target = parent / recipe.name
    index = read_index(parent)  # one that is broken is better found before the work than after it
    test = load_data(recipe.data, "test")
    trained = trained_net(finished, test)
    if not isinstance(trained, Net):
        raise UsageError(f"publish cannot fold {type(trained).__name__}")
    if target.exists():
        if recipe.name in index or not _is_published(trained, target):
            raise UsageError(
                f"{target} exists: published weights never change\n"
                "  give the recipe a new name (a _variant at its end), or another folder with --out"
            )
        enter(parent, Card.read(target))  # all that was missing: a crash came in between
        return target
    about = {
        "mean": trained.mean,
        "std": trained.std,
        # Through JSON, where p = inf is a text: config.json is read by strict parsers too.
        "training": Training(recipe=json.loads(recipe.model_dump_json()), **finished.summary()),
        "source": recipe.source,
        "reported": recipe.reported,
        "siblings": measured_siblings(finished, siblings, test, quiet=quiet),
    }
    claim = Claim(recipe.name, recipe.model.name, recipe.eps, recipe.bound)
    measuring = Measuring(attack, progress, quiet)
    curves = finished.path / "curves.png"
    return release(
        *(published_form(trained), claim, about, test, parent, measuring),
        learning_curves=curves if curves.is_file() else None,
    )


def _is_published(trained: Net, folder: Path) -> bool:
    """Whether a folder holds, whole, what this net becomes when it is published."""
    card = Card.read(folder)
    check_file(folder / "model.safetensors", card.sha256)
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "model.safetensors"
        save_tensors(published_form(trained), weights)
        return sha256_of(weights) == card.sha256
