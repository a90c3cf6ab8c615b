"""Cards, the index and the card's page."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from conftest import NAME
from pydantic import ValidationError

from zoo.cards.card import Card, Counts, Curve
from zoo.cards.index import enter, info, list_models, natural, read_index
from zoo.cards.page import render_page
from zoo.errors import IntegrityError, NotFoundError, UsageError

COUNTS = {
    "n": 10,
    "n_clean": 8,
    "n_certified": 4,
    "n_certified_a": 5,
    "n_certified_b": 4,
    "n_certified_naive": 6,
    "n_falsified": 3,
    "n_unknown": 1,
}


@pytest.fixture
def card(shelf: Path) -> Card:
    """The card of the tiny model."""
    return Card.read(shelf / NAME)


@pytest.fixture
def zoo_of_names(tmp_path: Path, card: Card, monkeypatch) -> None:
    """A source tree with two recipes that share one name with three published models."""
    (tmp_path / "pyproject.toml").touch()
    for folder in ("recipes", "weights"):
        (tmp_path / folder).mkdir()
    for name in ("a_mlp10.mnist_eps0.3", "a_mlp9.mnist_eps0.3", "_parent"):
        (tmp_path / "recipes" / f"{name}.yaml").touch()
    for name in ("cnn7.mnist_eps0.1_ibp", "b.cifar10_jpeg_eps8_255", "a_mlp9.mnist_eps0.3"):
        enter(tmp_path / "weights", card.model_copy(update={"name": name}))
    monkeypatch.setattr("zoo.paths._PACKAGE", tmp_path / "zoo")


def test_card_survives_its_file(card: Card, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(card.to_config(), allow_nan=False))
    assert Card.read(tmp_path) == card
    assert card.eps == Fraction(1, 10)


def test_percentages_are_derived_from_counts(card: Card) -> None:
    card = card.model_copy(update={"counts": Counts(**COUNTS), "attack": "pgd"})
    assert (card.clean_acc, card.certified_acc, card.empirical_acc) == (80.0, 40.0, 50.0)
    assert card.model_copy(update={"attack": "none"}).empirical_acc is None


@pytest.mark.parametrize("key", ["n_clean", "n_certified", "n_falsified", "n_unknown"])
def test_counts_that_do_not_add_up_are_refused(key: str) -> None:
    assert Counts(**COUNTS).n == 10
    with pytest.raises(ValidationError, match="must be the clean count"):
        Counts(**COUNTS | {key: COUNTS[key] + 1})


def test_curve_needs_one_count_an_eps() -> None:
    with pytest.raises(ValidationError, match="one count an eps"):
        Curve(eps=("0", "0.1"), n_certified=(1,))


def test_card_refuses_keys_that_it_does_not_know(weights: Path) -> None:
    path = weights / "config.json"
    config = json.loads(path.read_text())
    config["zoo"]["certified_acc"] = 100
    path.write_text(json.dumps(config))
    with pytest.raises(IntegrityError, match="certified_acc"):
        Card.read(weights)


@pytest.mark.parametrize(
    "choice, names",
    [
        ({}, ["a_mlp9", "a_mlp10", "b", "cnn7"]),
        ({"pretrained": True}, ["a_mlp9", "b", "cnn7"]),
        ({"pattern": "a_*"}, ["a_mlp9", "a_mlp10"]),
        ({"pattern": "a_mlp?.*"}, ["a_mlp9"]),
        ({"pattern": "nothing"}, []),
        ({"data": "cifar10_jpeg"}, ["b"]),
        ({"data": "cifar10"}, []),
        ({"eps": "8/255"}, ["b"]),
        ({"eps": 0.1}, ["cnn7"]),
        ({"eps": "0.30"}, ["a_mlp9", "a_mlp10"]),
        ({"method": "ibp"}, ["cnn7"]),
        ({"method": "a_mlp10"}, ["a_mlp10"]),
        ({"eps": 0.3, "pretrained": True}, ["a_mlp9"]),
    ],
)
def test_models_are_listed_by_what_is_asked(zoo_of_names, choice: dict, names: list) -> None:
    assert [name.partition(".")[0] for name in list_models(**choice)] == names


def test_eps_that_is_no_number_is_refused(zoo_of_names) -> None:
    with pytest.raises(UsageError, match="not a number"):
        list_models(eps="big")


def test_natural_order_puts_10_behind_9() -> None:
    assert sorted(["m10", "m9", "m", "10", "9"], key=natural) == ["9", "10", "m", "m9", "m10"]


def test_info_reads_a_published_card_or_a_folder(own: Path, card: Card) -> None:
    assert info(NAME) == info(str(own / "weights" / NAME)) == card


def test_working_directory_does_not_decide_what_a_name_means(own, tmp_path, monkeypatch) -> None:
    shutil.copytree(own / "weights" / NAME, tmp_path / "here" / NAME)
    (tmp_path / "here" / NAME / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "here")
    assert info(NAME).name == NAME
    with pytest.raises(IntegrityError):
        info(f"./{NAME}")


def test_info_of_an_unknown_name_suggests_another(zoo_of_names) -> None:
    with pytest.raises(NotFoundError, match=r"did you mean: cnn7\.mnist_eps0\.1_ibp"):
        info("cnn7.mnist_eps0.1_ipb")


def test_info_of_a_recipe_without_weights_says_how_to_train(zoo_of_names) -> None:
    with pytest.raises(NotFoundError, match=r"zoo train a_mlp10\.mnist_eps0\.3"):
        info("a_mlp10.mnist_eps0.3")


def test_info_of_another_folder_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no config\.json"):
        info(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"zoo": 1}', '{"zoo": {}}', "\x00", "{"])
def test_broken_card_is_an_integrity_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(IntegrityError, match="holds no valid model card"):
        info(str(tmp_path))


def test_index_keeps_what_it_is_given_in_natural_order(tmp_path: Path, card: Card) -> None:
    assert read_index(tmp_path) == {}
    names = ["a.x_eps1", "m9.x_eps1", "m10.x_eps1"]
    for name in reversed(names):
        enter(tmp_path, card.model_copy(update={"name": name}))
    index = read_index(tmp_path)
    assert list(index) == names
    entry, counts = index["m9.x_eps1"], card.counts
    assert (entry["sha256"], entry["bytes"], entry["eps"]) == (card.sha256, card.bytes, "0.1")
    assert (entry["n"], entry["n_certified"]) == (counts.n, counts.n_certified)
    assert entry["hub_id"] is None


def test_broken_index_is_an_integrity_error(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(IntegrityError, match="is not JSON"):
        read_index(tmp_path)


def test_page_holds_the_numbers(card: Card) -> None:
    update = {"counts": Counts(**COUNTS), "attack": "pgd", "reported": {"certified": 93.09}}
    card = card.model_copy(update=update)
    _, front, page = render_page(card).split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["license"] == "apache-2.0"
    (model,) = metadata["model-index"]
    assert model["name"] == NAME
    values = {m["type"]: m["value"] for m in model["results"][0]["metrics"]}
    assert values == {"accuracy": 80.0, "certified_accuracy": 40.0}
    for line in (
        "| classified correctly | 8 | 80.00 |",
        "| under attack, pgd | 5 | 50.00 |",
        "| **certified (A and B)** | **4** | **40.00** |",
        "| certified, as the paper reports it | | 93.09 |",
    ):
        assert line in page.splitlines()
    assert card.sha256 in page and card.split_sha256 in page


@pytest.mark.parametrize("reported", [{}, {"clean": 98.5, "certified": 93.1}])
def test_page_ends_its_table_before_the_text_goes_on(card: Card, reported: dict) -> None:
    page = render_page(card.model_copy(update={"reported": reported})).splitlines()
    rows = [i for i, line in enumerate(page) if line.startswith("|")]
    # In Markdown, whatever follows a row without a blank line is one more row.
    assert rows == list(range(rows[0], rows[-1] + 1))
    assert page[rows[0] - 1] == page[rows[-1] + 1] == ""
    assert {line.count("|") for line in page[rows[0] : rows[-1] + 1]} == {4}
