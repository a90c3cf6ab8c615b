"""Each known pitfall has a guard, and the guard has a planted bug that it finds."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

from soundness import asking, hunts, mutants
from soundness.pitfalls import PITFALLS
from zoo.cards.card import Card
from zoo.cards.index import read_index
from zoo.paths import weights_dir

MUTANTS = {
    module.name: importlib.import_module(f"soundness.mutants.{module.name}")
    for module in pkgutil.iter_modules(mutants.__path__)
}


def test_there_are_sixteen() -> None:
    assert list(PITFALLS) == list(range(1, 17))
    assert {m.PITFALL for m in MUTANTS.values()} - {None} <= set(PITFALLS)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("number", PITFALLS)
def test_its_guard_finds_a_planted_one(number: int) -> None:
    hunts.prepare()
    title, guard = PITFALLS[number]
    planted = [m for m in MUTANTS.values() if m.PITFALL == number and guard in m.HUNTS]
    assert planted, f"pitfall {number} ({title}): no mutant names its guard, {guard}"
    with pytest.MonkeyPatch.context() as patch:
        planted[0].plant(patch)
        finding = hunts.first_finding(guard)
    assert finding and not finding.startswith(hunts.CRASHED)


@pytest.mark.usefixtures("only_full")  # tests/test_claims.py asks the same of another net
def test_claims_are_met_by_the_file_alone_in_a_fresh_process() -> None:
    """Pitfall 15: nothing of the process that made a folder is there to help its claims."""
    command = [sys.executable, "-m", "zoo", "certify", "--check", str(asking.published())]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", read_index())
def test_published_weights_were_not_selected_on_test_images(name: str) -> None:
    """Pitfall 16: the last epoch, or the best on validation images that were not trained on."""
    training = Card.read(weights_dir() / name).training
    recipe, epoch = training.recipe, training.selected_epoch
    assert 1 <= epoch <= recipe["epochs"]
    assert 0 <= training.validation_certified_acc <= 100
    assert recipe["train_on"] in ("train", "train+validation")
    if recipe["select"] == "last":
        assert epoch == recipe["epochs"]
    else:
        assert (recipe["select"], recipe["train_on"]) == ("best", "train")
