"""zoo.prune on a published net: the folder that it writes, and what it refuses."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.attacks.pgd import PGD
from zoo.cards.index import read_index
from zoo.data.load import load_data
from zoo.errors import IntegrityError, UsageError

NAME = "linf_dist_mlp3.digits_eps0.1"
QUICK = PGD(steps=5, restarts=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return zoo.prune(NAME, out=tmp_path_factory.mktemp("weights"), attack=QUICK, quiet=True)


def test_the_pruned_net_is_small_and_gives_the_same_logits_on_the_training_images(folder):
    full, pruned = zoo.load(NAME), zoo.load(folder)
    train = load_data("digits", "train")
    x_BCHW, _ = train.batch(torch.arange(len(train)))
    with torch.no_grad():
        assert torch.equal(pruned(x_BCHW), full(x_BCHW))
    assert pruned.card.bytes < full.card.bytes / 10
    assert pruned.card.name == f"{NAME}_pruned" and folder.name == pruned.card.name


def test_its_claim_is_its_own_and_holds_when_it_is_measured_again(folder):
    card = zoo.load(folder).card
    assert (card.pruned_from, card.pruned_from_sha256) == (NAME, zoo.info(NAME).sha256)
    row = zoo.evaluate(str(folder), attack=None, quiet=True).rows[0]
    assert (row.n_clean, row.n_certified) == (card.counts.n_clean, card.counts.n_certified)
    assert abs(row.n_certified - zoo.info(NAME).counts.n_certified) <= 4
    entry = read_index(folder.parent)[card.name]
    assert (entry["sha256"], entry["n_certified"]) == (card.sha256, card.counts.n_certified)
    assert f"zoo prune {NAME}" in (folder / "README.md").read_text(encoding="utf-8")


def test_both_bounds_certify_a_pruned_net(folder):
    lipschitz, interval = (
        zoo.evaluate(str(folder), bound=bound, attack=None, quiet=True).rows[0].n_certified
        for bound in ("lipschitz", "interval")
    )
    assert 0 < lipschitz <= interval


def test_a_net_is_pruned_once_and_published_weights_stay(folder):
    with pytest.raises(UsageError, match="published weights never change"):
        zoo.prune(NAME, out=folder.parent, attack=QUICK, quiet=True)
    with pytest.raises(UsageError, match="prune takes a folded net"):
        zoo.prune(folder, out=folder.parent, attack=QUICK, quiet=True)


def test_a_changed_edge_is_found_when_it_is_loaded(folder, tmp_path):
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    copy = tmp_path / folder.name
    copy.mkdir()
    (copy / "config.json").write_bytes((folder / "config.json").read_bytes())
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError, match="is not the file that was published"):
        zoo.load(copy)
