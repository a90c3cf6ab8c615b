"""Siblings: runs of one recipe under other seeds, which say how much a figure is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoo.cards.card import Sibling
from zoo.certification import evaluate
from zoo.data.pixels import Pixels
from zoo.errors import UsageError
from zoo.models import Net, published_form
from zoo.runs import trained_net
from zoo.training import RunFolder
from zoo.training.run import changes


def measured_siblings(
    run: RunFolder, others: Sequence[str | Path], test: Pixels, *, quiet: bool = False
) -> tuple[Sibling, ...]:
    """What each of the other runs gave on the test images, folded, A and B; they are not attacked.

    Raises:
        NotFoundError: no finished run there.
        UsageError: a run of another recipe, a seed that is there twice, or one that certifies more
            validation images than the run that is to be published.
    """
    runs = [RunFolder.open(other) for other in others]
    _check(run, runs)
    return tuple(_measured(each, test, quiet) for each in runs)


def _check(run: RunFolder, others: Sequence[RunFolder]) -> None:
    seen = {run.recipe.seed: run.path}
    own = run.summary()["validation_certified_acc"]
    for other in others:
        differ = [
            each for each in changes(run.recipe, other.recipe) if not each.startswith("seed =")
        ]
        if differ:
            raise UsageError(
                "\n  ".join([f"{other.path} holds a run of another recipe; it has", *differ])
            )
        if other.recipe.seed in seen:
            before = seen[other.recipe.seed]
            raise UsageError(f"{other.path} has seed {other.recipe.seed}, as {before} has")
        seen[other.recipe.seed] = other.path
        found = other.summary()["validation_certified_acc"]
        if (found, -other.recipe.seed) > (own, -run.recipe.seed):
            raise UsageError(
                f"{other.path} certifies {found} % of the validation images, {run.path} {own} %\n"
                "  of several seeds the best on validation images is published, the lowest among "
                "equals: publish that one"
            )


def _measured(run: RunFolder, test: Pixels, quiet: bool) -> Sibling:
    net, recipe, summary = trained_net(run, test), run.recipe, run.summary()
    assert isinstance(net, Net), "the recipe is that of a net which could be folded"
    settings = {"eps": recipe.eps, "bound": recipe.bound, "attack": None, "quiet": quiet}
    report = evaluate(published_form(net), test, **settings)
    return Sibling(
        seed=recipe.seed,
        validation_certified_acc=summary["validation_certified_acc"],
        n_clean=report.rows[0].n_clean,
        n_certified=report.rows[0].n_certified,
        seconds=summary["seconds"],
    )
