"""Publishing: what a weight folder holds, and every kind of damage that loading must notice."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil
from collections import Counter
from pathlib import Path

import pytest
import timm
import torch
from conftest import NAME
from safetensors.torch import load_file, save_file

import zoo
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.cards.index import read_index
from zoo.certification.report import SAMPLE_COLUMNS
from zoo.data.load import load_data
from zoo.errors import IntegrityError, NotFoundError, UsageError
from zoo.publishing.from_run import publish
from zoo.training.run import RunFolder

WEIGHT = "layers.dist2.weight"


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Put other tensors in a weight folder, and a card that vouches for them."""
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    vouch(folder)


def vouch(folder: Path) -> None:
    """Make the card's hash and size those of the weight file, as an attacker would."""
    content = (folder / "model.safetensors").read_bytes()
    config = json.loads((folder / "config.json").read_text())
    config["zoo"] |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "config.json").write_text(json.dumps(config))


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of a weight folder."""
    return load_file(folder / "model.safetensors")


def test_folder_is_complete_and_in_the_index(shelf: Path) -> None:
    names = ["README.md", "certificates.csv", "config.json", "model.safetensors", "training.png"]
    assert sorted(file.name for file in (shelf / NAME).iterdir()) == names
    assert sorted(file.name for file in shelf.iterdir()) == ["index.json", NAME]
    content = (shelf / NAME / "model.safetensors").read_bytes()
    card, entry = Card.read(shelf / NAME), read_index(shelf)[NAME]
    assert entry["sha256"] == card.sha256 == hashlib.sha256(content).hexdigest()
    assert entry["bytes"] == card.bytes == len(content)
    params = sum(t.numel() for t in tensors_of(shelf / NAME).values())
    assert card.params == entry["params"] == params


def test_counts_agree_with_the_verdict_of_every_image(shelf: Path) -> None:
    card, split = Card.read(shelf / NAME), load_data("digits", "test")
    with (shelf / NAME / "certificates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == SAMPLE_COLUMNS
    assert [int(row["index"]) for row in rows] == list(range(len(split)))
    assert [int(row["label"]) for row in rows] == split.y_N.tolist()
    status, counts = Counter(row["status"] for row in rows), card.counts
    assert status["certified"] == counts.n_certified
    assert status["falsified"] == counts.n_falsified
    assert status["unknown"] == counts.n_unknown
    assert status["misclassified"] == counts.n - counts.n_clean
    assert counts.n == len(split) == status.total()
    for column, count in {"a": counts.n_certified_a, "b": counts.n_certified_b}.items():
        assert sum(int(row[column]) for row in rows) == count
    assert sum(int(row["naive"]) for row in rows) == counts.n_certified_naive
    # The radius is the largest eps that is proved, so it tells the same as the verdict.
    eps = float(card.eps)
    assert all((float(row["radius"]) > eps) == (row["status"] == "certified") for row in rows)


def test_curve_falls_from_the_clean_count_through_the_certified_one(shelf: Path) -> None:
    card = Card.read(shelf / NAME)
    counts = card.curve.n_certified
    assert len(counts) == 41 and card.curve.eps[20] == card.eps
    assert counts[0] <= card.counts.n_clean and counts[20] == card.counts.n_certified
    assert list(counts) == sorted(counts, reverse=True)


def test_config_is_strict_json(shelf: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    json.loads((shelf / NAME / "config.json").read_text(), parse_constant=refuse)


def test_timm_loads_the_folder_to_the_same_logits(shelf: Path) -> None:
    ours = zoo.load(shelf / NAME)
    theirs = timm.create_model(f"local-dir:{shelf / NAME}", pretrained=True).eval()
    x_BCHW, _ = load_data("digits", "test").batch(torch.arange(50))
    with torch.no_grad():
        assert torch.equal(ours(x_BCHW), theirs(x_BCHW))


def test_loaded_model_is_ready_and_has_its_card(shelf: Path) -> None:
    model = zoo.load(str(shelf / NAME))
    assert model.card == Card.read(shelf / NAME)
    assert not model.training and model.p == float("inf") and model.lipschitz == 1.0
    x_BCHW, y_B = load_data("digits", "test").batch(torch.arange(360))
    assert int((model(x_BCHW).argmax(1) == y_B).sum()) == model.card.counts.n_clean


def test_published_net_classifies_as_the_trained_one(run: Path, shelf: Path) -> None:
    from zoo.training.build import build_model

    test = load_data("digits", "test")
    trained = build_model(RunFolder.open(run).recipe.model, test).eval()
    trained.load_state_dict(load_file(run / "model.safetensors"))
    x_BCHW, _ = test.batch(torch.arange(len(test)))
    with torch.no_grad():
        want, found = trained(x_BCHW) * test.std, zoo.load(shelf / NAME)(x_BCHW)
    assert torch.allclose(want, found, atol=1e-5)


def test_name_loads_what_the_index_pins(own: Path) -> None:
    assert zoo.load(NAME).card.name == NAME
    assert zoo.create_model(NAME, pretrained=True).card.name == NAME
    # Weights and card changed together are still not those that were published.
    folder = own / "weights" / NAME
    rewrite(folder, tensors_of(folder) | {WEIGHT: tensors_of(folder)[WEIGHT] + 1})
    assert zoo.load(folder).card.name == NAME
    with pytest.raises(IntegrityError, match="not the card that was published"):
        zoo.load(NAME)


def test_working_directory_cannot_replace_published_weights(own, monkeypatch, tmp_path) -> None:
    shutil.copytree(own / "weights" / NAME, tmp_path / "here" / NAME)
    rewrite(tmp_path / "here" / NAME, {"other": torch.zeros(1)})
    monkeypatch.chdir(tmp_path / "here")
    assert zoo.load(NAME).card.sha256 == read_index(own / "weights")[NAME]["sha256"]


def test_name_is_published_once(run: Path, shelf: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in sorted(shelf.rglob("*"))}
    with pytest.raises(UsageError, match="published weights never change"):
        publish(run, out=shelf, attack=PGD(steps=1))
    assert before == {f: f.stat().st_mtime_ns for f in sorted(shelf.rglob("*"))}


@pytest.mark.parametrize(
    "damage, error, message",
    [
        (lambda run: (run / "run.json").unlink(), NotFoundError, r"has no run\.json"),
        (lambda run: (run / "model.safetensors").write_bytes(b""), IntegrityError, "safetensors"),
        (lambda run: save_file({}, run / "model.safetensors"), IntegrityError, "missing layers"),
    ],
    ids=["unfinished", "empty", "no-tensors"],
)
def test_run_that_cannot_be_published_leaves_nothing(run, tmp_path, damage, error, message) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    damage(copy)
    with pytest.raises(error, match=message):
        publish(copy, out=tmp_path / "shelf")
    assert not list(tmp_path.glob("shelf/*"))


def test_recipe_without_a_model_name_is_not_published(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    recipe = (copy / "recipe.yaml").read_text()
    for name, message in (
        ("mine", "not a model name"),
        ("other.digits_eps0.1", "says architecture other"),
    ):
        (copy / "recipe.yaml").write_text(recipe.replace(f"name: {NAME}", f"name: {name}", 1))
        with pytest.raises(UsageError, match=message):
            publish(copy, out=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_broken_index_is_found_before_the_work(run: Path, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(IntegrityError):
        publish(run, out=tmp_path, attack=PGD(steps=1))
    assert [file.name for file in tmp_path.iterdir()] == ["index.json"]


def test_flipped_bit_is_noticed(weights: Path) -> None:
    path = weights / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"expected sha256 \w{64}\n  found           \w{64}"):
        zoo.load(weights)


@pytest.mark.parametrize("vouched", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(pickle.dumps({"weight": [1.0]})),
        lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    ],
    ids=["truncated", "empty", "pickle", "huge-header"],
)
def test_file_that_is_no_safetensors_is_refused(weights: Path, damage, vouched: bool) -> None:
    damage(weights / "model.safetensors")
    if vouched:
        vouch(weights)
    message = "is not a safetensors file" if vouched else "not the file that was published"
    with pytest.raises(IntegrityError, match=message):
        zoo.load(weights)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop(WEIGHT), f"missing {WEIGHT}"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected 'extra'"),
        (lambda t: t.update({WEIGHT: t[WEIGHT][:, 1:].clone()}), r"\(16, 15\)"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].double()}), "is 'F64'"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].half()}), "is 'F16'"),
        (lambda t: t[WEIGHT].view(-1)[5].fill_(float("nan")), "not finite"),
        (lambda t: t[WEIGHT].view(-1)[5].fill_(-float("inf")), "not finite"),
    ],
    ids=["missing", "extra", "shape", "double", "half", "nan", "inf"],
)
def test_tensors_that_do_not_fit_are_refused(weights: Path, change, message: str) -> None:
    tensors = tensors_of(weights)
    change(tensors)
    rewrite(weights, tensors)
    with pytest.raises(IntegrityError, match=message):
        zoo.load(weights)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_missing_file_is_not_found(weights: Path, file: str) -> None:
    (weights / file).unlink()
    with pytest.raises(NotFoundError, match=file.replace(".", r"\.")):
        zoo.load(weights)


@pytest.mark.parametrize(
    "change",
    [{"arch": "resnet18"}, {"arch": "nothing"}, {"arch_args": {"width": -1, "img_size": 8}}, None],
    ids=["another-arch", "no-arch", "bad-arguments", "broken-json"],
)
def test_damaged_card_is_refused(weights: Path, change: dict | None) -> None:
    config = json.loads((weights / "config.json").read_text())
    text = "{" if change is None else json.dumps(config | {"zoo": config["zoo"] | change})
    (weights / "config.json").write_text(text)
    with pytest.raises(IntegrityError):
        zoo.load(weights)


def test_path_to_a_file_is_answered_with_what_to_give(weights: Path) -> None:
    with pytest.raises(UsageError, match="give the folder"):
        zoo.load(weights / "model.safetensors")
    with pytest.raises(NotFoundError, match="unknown model"):
        zoo.load("no_such_folder")


def test_crash_before_the_index_entry_is_made_good(run: Path, shelf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(shelf / NAME, folder / NAME)  # all there, but for its entry
    assert publish(run, out=folder) == folder / NAME
    assert read_index(folder) == read_index(shelf)
    with pytest.raises(UsageError, match="published weights never change"):
        publish(run, out=folder)


def test_folder_of_other_weights_is_never_taken_for_ones_own(run, shelf, tmp_path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(shelf / NAME, folder / NAME)
    tensors = tensors_of(folder / NAME)
    rewrite(folder / NAME, tensors | {WEIGHT: tensors[WEIGHT] + 1})
    with pytest.raises(UsageError, match="published weights never change"):
        publish(run, out=folder)
    (folder / NAME / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(IntegrityError, match="is not the file that was published"):
        publish(run, out=folder)
    assert read_index(folder) == {}
