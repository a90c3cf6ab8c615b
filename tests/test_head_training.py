"""A net with a head goes the whole way: a recipe, training, the weight folder, its claims."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.models import HeadedNet, unfold
from zoo.publishing.from_run import publish
from zoo.recipes import load_recipe
from zoo.training import run_training

RECIPES = {
    "linf_dist_hybrid3.digits_eps0.03": """
        model: {name: linf_dist_hybrid3, width: 32, head_width: 24}
        objective: {name: head_hinge}
    """,
    "linf_dist_conv5.digits_eps0.03": """
        model: {name: linf_dist_conv5, channels: 2, width: 16, head_width: 8}
        objective: {name: head_cross_entropy, kappa: 0.5}
    """,
}
SHARED = """
parent: _linf_dist
data: digits
eps: 0.03
bound: interval
schedules:
  lr: {name: cosine, start: 0.02, end: 0}
  p: {name: exponential, start: 8, end: 1000, begin: 0.1, until: 0.8, then: inf}
  eps: {name: constant, value: 0.033}
  lam: {name: constant, value: 0.1}
batch_size: 64
"""
EPOCHS = {"linf_dist_hybrid3.digits_eps0.03": 10, "linf_dist_conv5.digits_eps0.03": 1}


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, tmp_path_factory) -> tuple[str, Path, Path]:
    """A name, the run of its recipe, and the folder that holds its weight folder."""
    name, home = request.param, tmp_path_factory.mktemp("heads")
    own = "\n".join(line.strip() for line in RECIPES[name].splitlines())
    path = home / f"{name}.yaml"
    path.write_text(f"{SHARED}{own}\nepochs: {EPOCHS[name]}\n")
    run = run_training(load_recipe(str(path)), out=home / "run", quiet=True).path
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.publishing.release.CURVE_POINTS", 5)
        publish(run, out=home / "shelf", attack=PGD(steps=3), quiet=True)
    return name, run, home / "shelf"


def test_it_learns_and_is_certified_by_intervals(trained) -> None:
    name, _, shelf = trained
    card = Card.read(shelf / name)
    assert card.bound == "interval" and card.logits_sha256 is None
    assert card.curve.n_certified[0] == card.counts.n_clean
    kinds = [layer["kind"] for layer in card.layers]
    assert kinds[-3:] == ["linear", "tanh", "linear"] and "normalize" not in kinds
    if "hybrid" in name:
        assert card.counts.n_certified > card.counts.n / 2


def test_validation_while_training_used_the_interval_bound(trained) -> None:
    name, run, _ = trained
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    looks = [row for row in rows if "val_cert" in row]
    assert len(looks) == EPOCHS[name]
    assert all(0 <= row["val_cert"] <= row["val_acc"] for row in looks)
    assert looks[-1]["p"] == "inf" or looks[-1]["p"] == float("inf")


def test_its_claims_are_met_again(trained, zoo_) -> None:
    name, _, shelf = trained
    code, out, _ = zoo_("certify", shelf / name, "--check", "--attack", "none")
    assert code == 0 and name in out


@pytest.mark.parametrize("trained", ["linf_dist_hybrid3.digits_eps0.03"], indirect=True)
def test_a_claim_beyond_the_bound_is_not_met(trained, zoo_, tmp_path) -> None:
    name, _, shelf = trained
    copy = Path(shutil.copytree(shelf / name, tmp_path / "copy"))
    path, text = copy / "certificates.csv", (copy / "certificates.csv").read_text()
    assert "unknown,0,0,0" in text
    path.write_text(text.replace("unknown,0,0,0", "certified,1,1,1", 1))
    config = json.loads((copy / "config.json").read_text())
    card = config["zoo"]
    card["certificates_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    card["counts"]["n_unknown"] -= 1
    for key in ("n_certified", "n_certified_a", "n_certified_b", "n_certified_naive"):
        card["counts"][key] += 1
    (copy / "config.json").write_text(json.dumps(config))
    code, _, err = zoo_("certify", copy, "--check", "--attack", "none")
    assert code == 5, err


def test_what_was_published_is_the_trained_net_folded(trained) -> None:
    name, run, shelf = trained
    net, card = zoo.load(shelf / name), Card.read(shelf / name)
    assert isinstance(net, HeadedNet) and net.folded
    back = unfold(net, card.mean, card.std).state_dict()
    kept = load_file(run / "model.safetensors")
    for key, tensor in back.items():
        torch.testing.assert_close(tensor, kept[key], rtol=1e-5, atol=1e-5)
