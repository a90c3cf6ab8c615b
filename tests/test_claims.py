"""Claims of a weight folder, checked again: what is met, what is refused, and how it is said."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import NAME

import zoo
import zoo.cli
import zoo.layers.lp_dist
import zoo.publishing.claims
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.cards.index import read_index
from zoo.certification.report import SAMPLE_COLUMNS, write_csv
from zoo.data.load import load_data
from zoo.errors import ClaimError, IntegrityError
from zoo.layers import Shift
from zoo.publishing.claims import check_claims
from zoo.publishing.release import Measuring, measure_again


def edit_card(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["zoo"].update(fields)
    (folder / "config.json").write_text(json.dumps(config))


def certificates(folder: Path) -> list[dict[str, str]]:
    with (folder / "certificates.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def claim(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write other verdicts, and a card that vouches for them."""
    write_csv(folder / "certificates.csv", SAMPLE_COLUMNS, rows)
    digest = hashlib.sha256((folder / "certificates.csv").read_bytes()).hexdigest()
    counts = Card.read(folder).counts.model_dump()
    status = [row["status"] for row in rows]
    for key in ("certified", "unknown", "falsified"):
        counts[f"n_{key}"] = status.count(key)
    for key in ("a", "b"):
        counts[f"n_certified_{key}"] = sum(int(row[key]) for row in rows)
    edit_card(folder, certificates_sha256=digest, counts=counts)


def test_a_claim_is_met_again(weights: Path) -> None:
    checked = check_claims(weights, attack=PGD(steps=2))
    card = Card.read(weights)
    assert checked.report.rows[0].n_certified == card.counts.n_certified and not checked.notes
    assert checked.report.logits_sha256 == card.logits_sha256
    assert card.numerics["round_to_nearest"] and card.slack and 0 < card.slack.mean < 1e-4


def test_a_card_does_not_speak_for_layers_that_were_changed(tmp_path: Path, weights: Path) -> None:
    """A view has no tensors: only the card's list of layers tells that it is another."""
    name = "linf_average.digits_eps0.1_views"
    views = ("same", "left")
    zoo.average(weights, name=name, views=views, out=tmp_path, attack=PGD(steps=1), quiet=True)
    model = zoo.load(str(tmp_path / name))
    assert zoo.evaluate(model, n=5, attack=None, quiet=True).rows[0].model == name
    next(layer for layer in model.modules() if isinstance(layer, Shift)).columns = -2
    assert zoo.evaluate(model, n=5, attack=None, quiet=True).rows[0].model == "LinfAverage"


def test_the_fingerprint_is_the_hash_of_all_logits_in_order(weights: Path) -> None:
    net, test = zoo.load(weights), load_data("digits", "test")
    with torch.no_grad():
        logits_NK = net(test.batch(torch.arange(len(test)))[0])
    content = logits_NK.numpy().astype("<f4").tobytes()
    assert hashlib.sha256(content).hexdigest() == Card.read(weights).logits_sha256


def test_the_card_describes_the_net_layer_by_layer(weights: Path) -> None:
    kinds = [layer["kind"] for layer in Card.read(weights).layers]
    assert kinds == ["flatten", "linf_dist", "linf_dist", "linf_dist", "negate"]


def test_an_image_claimed_and_not_certified_is_named(weights: Path) -> None:
    rows = certificates(weights)
    extra = next(row for row in rows if row["status"] == "unknown")
    extra["status"] = "certified"
    claim(weights, rows)
    with pytest.raises(ClaimError, match=rf"1 image\(s\) .*: {extra['index']}\n"):
        check_claims(weights)


def test_an_image_certified_and_not_claimed_is_a_note(weights: Path) -> None:
    rows = certificates(weights)
    less = next(row for row in rows if row["status"] == "certified")
    less["status"] = "unknown"
    claim(weights, rows)
    (note,) = check_claims(weights).notes
    assert f"1 image(s) more are certified than published: {less['index']}" in note


def test_verdicts_that_the_card_does_not_vouch_for_are_refused(weights: Path) -> None:
    path = weights / "certificates.csv"
    path.write_text(path.read_text().replace("unknown", "certified"))
    with pytest.raises(IntegrityError, match=r"certificates\.csv is not the file"):
        check_claims(weights)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"certificates\.csv is not the file"):
        check_claims(weights)


def test_counts_that_differ_from_the_verdicts_are_refused(weights: Path) -> None:
    counts = Card.read(weights).counts.model_dump()
    more = {"n_certified": counts["n_certified"] + 1, "n_unknown": counts["n_unknown"] - 1}
    edit_card(weights, counts=counts | more)
    with pytest.raises(IntegrityError, match="n_certified"):
        check_claims(weights)


def test_an_older_card_is_asked_to_be_measured_again(weights: Path) -> None:
    edit_card(weights, certificates_sha256=None)
    with pytest.raises(IntegrityError, match="zoo publish"):
        check_claims(weights)
    assert measure_again(weights, Measuring(PGD(steps=2), quiet=True)) == weights
    check_claims(weights)


def test_measuring_again_changes_nothing_but_the_date(shelf: Path, weights: Path) -> None:
    before = {file.name: file.read_bytes() for file in weights.iterdir()}
    measure_again(weights, Measuring(PGD(steps=2), quiet=True))
    after = {file.name: file.read_bytes() for file in weights.iterdir()}
    assert before.keys() == after.keys()
    old, new = (json.loads(files["config.json"]) for files in (before, after))
    old["zoo"]["date"] = new["zoo"]["date"]
    assert old == new
    for name in ("model.safetensors", "certificates.csv", "README.md"):
        assert before[name] == after[name]


def test_measuring_again_renews_the_index(own: Path) -> None:
    index = own / "weights" / "index.json"
    entries = json.loads(index.read_text())
    entries[NAME]["n_certified"] = 360
    index.write_text(json.dumps(entries))
    with pytest.raises(IntegrityError, match="not the card that was published"):
        check_claims(NAME)
    measure_again(own / "weights" / NAME, Measuring(PGD(steps=2), quiet=True))
    assert read_index()[NAME]["n_certified"] == Card.read(own / "weights" / NAME).counts.n_certified


def test_other_images_are_refused(weights: Path, monkeypatch) -> None:
    def other(name: str, split: str):
        pixels = load_data(name, split)
        return replace(pixels, x_NCHW=pixels.x_NCHW.flip(0))

    monkeypatch.setattr(zoo.publishing.claims, "load_data", other)
    with pytest.raises(IntegrityError, match="not the one that"):
        check_claims(weights)


def test_a_kernel_that_is_off_in_the_last_bit_is_found(weights: Path, monkeypatch) -> None:
    original = zoo.layers.lp_dist.lp_dist
    monkeypatch.setattr(
        zoo.layers.lp_dist, "lp_dist", lambda x, w, p: original(x, w, p) * (1 + 2.0**-23)
    )
    with pytest.raises(IntegrityError, match="the logits differ"):
        check_claims(weights)


def test_the_command_says_what_failed_by_its_exit_code(weights: Path, zoo_) -> None:
    code, out, _ = zoo_("certify", "--check", weights)
    assert code == 0 and NAME in out
    assert zoo_("certify", "--check", weights, "--eps", "0.01")[0] == 2
    rows = certificates(weights)
    for row in rows:
        row["status"] = "certified" if row["status"] == "unknown" else row["status"]
    claim(weights, rows)
    code, _, err = zoo_("certify", "--check", weights)
    assert code == 5 and "not certified here" in err and len(err.splitlines()) < 5
