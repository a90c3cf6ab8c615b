"""Other seeds of a recipe on the card of the one that is published."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from conftest import NAME, TINY

from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.certification import evaluate
from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.models import fold
from zoo.publishing.from_run import publish
from zoo.publishing.release import Measuring, measure_again
from zoo.runs import trained_net
from zoo.training import run_training
from zoo.training.run import RunFolder

ATTACK = PGD(steps=2, restarts=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[RunFolder]:
    """Three seeds of a short recipe, those with more certified validation images first."""
    folder = tmp_path_factory.mktemp("runs")
    made = [
        run_training(NAME, out=folder / str(seed), overrides=TINY | {"seed": seed}, quiet=True)
        for seed in range(3)
    ]
    return sorted(
        made, key=lambda run: (-run.summary()["validation_certified_acc"], run.recipe.seed)
    )


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory) -> Path:
    """The weight folder of the best, with the others on its card."""
    best, *others = (run.path for run in runs)
    return publish(
        best, siblings=others, out=tmp_path_factory.mktemp("shelf"), attack=ATTACK, quiet=True
    )


def test_the_card_holds_what_each_seed_gave(runs, folder) -> None:
    card, test = Card.read(folder), load_data("digits", "test")
    assert [each.seed for each in card.siblings] == [run.recipe.seed for run in runs[1:]]
    for each, run in zip(card.siblings, runs[1:], strict=True):
        net = fold(trained_net(run, test))
        row = evaluate(net, test, eps=card.eps, attack=None, quiet=True).rows[0]
        assert (each.n_clean, each.n_certified) == (row.n_clean, row.n_certified)
        assert each.seconds == run.summary()["seconds"]
    counts = [card.counts.n_certified, *(each.n_certified for each in card.siblings)]
    certified = [100 * count / 360 for count in counts]
    page = (folder / "README.md").read_text()
    assert f"certify {statistics.mean(certified):.2f} % on average" in page
    assert f"standard deviation {statistics.stdev(certified):.2f}." in page
    assert page.count("\n| 0 |") == page.count("\n| 1 |") == page.count("\n| 2 |") == 1


def test_learning_curves_lie_beside_the_weights(runs, folder) -> None:
    assert (folder / "training.png").read_bytes() == (runs[0].path / "curves.png").read_bytes()
    assert "![learning curves](training.png)" in (folder / "README.md").read_text()


def test_measuring_again_keeps_both(folder) -> None:
    before, page = Card.read(folder), (folder / "README.md").read_text()
    measure_again(folder, Measuring(ATTACK, quiet=True))
    assert Card.read(folder).siblings == before.siblings
    assert (folder / "README.md").read_text() == page


def test_what_is_no_sibling_is_refused(runs, tmp_path) -> None:
    best, worse = runs[0].path, runs[-1].path

    def refused(words: str, run: Path, *siblings: Path) -> None:
        with pytest.raises(UsageError, match=words):
            publish(run, siblings=siblings, out=tmp_path / "shelf", attack=ATTACK, quiet=True)
        assert not (tmp_path / "shelf").exists()

    refused("publish that one", worse, best)
    refused(r"has seed \d, as ", best, best)
    refused(r"has seed \d, as ", best, worse, worse)
    other = TINY | {"seed": 7, "batch_size": 16}
    stranger = run_training(NAME, out=tmp_path / "other", overrides=other, quiet=True)
    refused(r"another recipe; it has\n  batch_size = \d+, not 16$", best, stranger.path)
