"""Recipes: those that come with the zoo train; files and overrides are read strictly."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from zoo.data.pixels import Pixels
from zoo.errors import NotFoundError, UsageError
from zoo.names import parse_name
from zoo.recipes import list_recipes, load_recipe
from zoo.training import run_training
from zoo.training.checkpoints import Checkpoint
from zoo.training.log import read_log

DIGITS = "linf_dist_mlp3.digits_eps0.1"
SHAPES = {"digits": (1, 8, 8), "tiny_imagenet": (3, 64, 64)}
SHAPES |= dict.fromkeys(("mnist", "fashion_mnist"), (1, 28, 28))
SHAPES |= dict.fromkeys(("cifar10", "cifar10_jpeg"), (3, 32, 32))
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def write(folder: Path, text: str, name: str = "mine") -> Path:
    """A recipe file."""
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def child(folder: Path, text: str) -> Path:
    """A recipe file that the digits recipe's parent is the parent of."""
    return write(folder, f"parent: base\n{text}")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a complete parent, base.yaml."""
    content = load_recipe(DIGITS).model_dump(mode="json") | {"source": "here"}
    del content["name"]
    write(tmp_path, yaml.safe_dump(content), "base")
    return tmp_path


def errors_of(*args, **kwargs) -> list[str]:
    """Lines of the error that reading a recipe ends in."""
    with pytest.raises(UsageError) as caught:
        load_recipe(*args, **kwargs)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", list_recipes())
def test_recipe_says_what_its_name_says(name: str) -> None:
    recipe, parts = load_recipe(name), parse_name(name)
    assert recipe.name == name
    assert (parts.arch, parts.data, parts.eps) == (recipe.model.name, recipe.data, recipe.eps)
    assert recipe.source
    # The published net is the one at p = inf, so training must end there.
    assert recipe.schedules.p(1.0) == math.inf
    assert recipe.schedules.eps(1.0) >= float(recipe.eps)


@pytest.mark.parametrize("name", list_recipes())
def test_recipe_trains_two_steps(name: str, tmp_path, monkeypatch) -> None:
    narrow: dict[str, Any] = {"batch_size": 4, "epochs": 2, "evaluate_every": 2}
    whole = load_recipe(name)
    if not (whole.model.folded or whole.init):  # else its sizes are those of a published net
        narrow |= {"model.width": 64} | ({"model.channels": 4} if "conv" in name else {})
    recipe = load_recipe(name, narrow)
    g = torch.Generator().manual_seed(0)
    shape = SHAPES[recipe.data]
    images = torch.randint(0, 256, (4, *shape), generator=g, dtype=torch.uint8)
    labels = torch.randint(0, 10, (4,), generator=g)
    # A net that is trained on may keep its Normalize, and then refuses images of another mean.
    mean, std = ((0.1307,), 0.3081) if recipe.data == "mnist" else ((0.5,) * shape[0], 0.25)
    data = Pixels(recipe.data, "train", images, labels, 10, mean, std)
    monkeypatch.setattr("zoo.training.loop.load_data", lambda *_: data)
    states: list[dict[str, torch.Tensor]] = []

    def record(state, tally):
        states.append(state.tensors())
        return Checkpoint({}, {})

    monkeypatch.setattr("zoo.training.state.TrainingState.pack", record)
    run_training(recipe, out=tmp_path / "run", save_every=0, quiet=True)
    weights = [key for key in states[0] if key.startswith("module.")]
    constant = ("running", "normalize", "order_K", "pad_value")
    learned = [key for key in weights if not any(word in key for word in constant)]
    for key in learned:
        assert bool(states[-1][key].isfinite().all())
        # Distance layers all move; so does the output bias, and what the objective trains.
        assert not torch.equal(states[0][key], states[-1][key]), key
    rows = read_log(tmp_path / "run" / "log.jsonl")
    assert all(math.isfinite(row["loss"]) and row["loss"] > 0 for row in rows)


def test_every_file_is_a_recipe_or_a_parent_in_use() -> None:
    folder = Path(__file__).parent.parent / "recipes"
    parents = {f.stem for f in folder.glob("*.yaml")} - set(list_recipes())
    read = [yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in list_recipes()]
    assert parents == {content["parent"] for content in read if "parent" in content}


def test_child_merges_deeply_into_its_parent(base: Path) -> None:
    recipe = load_recipe(child(base, "optimizer: {weight_decay: 0.5}\nschedules: {lr: {start: 7}}"))
    parent = load_recipe(DIGITS)
    assert recipe.source == "here"
    assert recipe.optimizer.model_dump() == parent.optimizer.model_dump() | {"weight_decay": 0.5}
    assert recipe.schedules.lr.model_dump() == parent.schedules.lr.model_dump() | {"start": 7}
    assert recipe.schedules.p == parent.schedules.p


def test_list_replaces_that_of_the_parent(base: Path) -> None:
    assert load_recipe(child(base, "optimizer: {betas: [0.1, 0.2]}")).optimizer.betas == (0.1, 0.2)
    assert any(
        line.startswith("  optimizer.betas.1: missing")
        for line in errors_of(child(base, "optimizer: {betas: [0.1]}"))
    )


def test_mapping_of_another_name_starts_afresh(base: Path) -> None:
    recipe = load_recipe(child(base, "schedules: {lr: {name: constant, value: 1}}"))
    assert recipe.schedules.lr.model_dump() == {"name": "constant", "value": 1.0}
    # Had the parent's 0.2 stayed, sgd would have it too.
    assert load_recipe(child(base, "optimizer: {name: sgd}")).optimizer.objective_lr == 1.0


def test_parent_with_a_parent_is_refused(base: Path) -> None:
    write(base, "parent: base", "middle")
    assert "parent cannot have a parent" in errors_of(write(base, "parent: middle"))[0]


def test_unknown_parent_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no parent recipe 'nobody'"):
        load_recipe(write(tmp_path, "parent: nobody"))


def test_parent_that_comes_with_the_zoo_is_found_from_any_folder(tmp_path: Path) -> None:
    source = Path(__file__).parent.parent / "recipes" / f"{DIGITS}.yaml"
    assert load_recipe(write(tmp_path, source.read_text(), DIGITS)) == load_recipe(DIGITS)


@pytest.mark.parametrize(
    "text, value",
    [("1e-3", 1e-3), ("8/255", 8 / 255), ("0.25", 0.25), ("3", 3.0), (0.5, 0.5), ("1E2", 100.0)],
)
def test_override_takes_numbers_as_people_write_them(text, value: float) -> None:
    recipe = load_recipe(DIGITS, {"schedules.eps.value": text, "optimizer.weight_decay": text})
    assert recipe.schedules.eps(0.5) == recipe.optimizer.weight_decay == value


@pytest.mark.parametrize("text", ["inf", ".inf"])
def test_override_takes_an_infinite_exponent(text: str) -> None:
    overrides = {"schedules.p": f"{{name: constant, value: {text}}}"}
    assert load_recipe(DIGITS, overrides).schedules.p(0.0) == math.inf


def test_override_has_the_type_that_yaml_gives_it() -> None:
    overrides = {"augment.flip": "true", "ema": "null", "augment": "{pad: 2}", "augment.pad": "3"}
    recipe = load_recipe(DIGITS, overrides)
    assert recipe.augment.pad == 3 and recipe.augment.flip is False and recipe.ema is None


@pytest.mark.parametrize("key", ["epochs.x", "schedules.lr.start.x"])
def test_override_below_a_plain_value_is_refused(key: str) -> None:
    assert "holds no settings of its own" in errors_of(DIGITS, {key: "1"})[0]


@pytest.mark.parametrize("value", ["[", "!!python/name:os.system x", "&a [*a]", "2020-99-99"])
def test_override_that_is_no_yaml_is_a_usage_error(value: str) -> None:
    assert errors_of(DIGITS, {"source": value})[0].startswith("override source is not YAML")


def test_all_errors_are_told_at_once() -> None:
    overrides = {
        "epoch": 1,
        "epochs": 0,
        "data": "digit",
        "bound": "lipshitz",
        "objective.scal": 1,
        "optimizer.nam": "adam",
        "schedules.lr.strat": 1,
        "reported.a": "many",
    }
    lines = errors_of(DIGITS, overrides)
    assert lines[0] == f"recipe {DIGITS} has {len(overrides)} error(s)"
    places = {line.split(":")[0].strip() for line in lines[1:] if line[:4].strip()}
    assert places == set(overrides)


@pytest.mark.parametrize(
    "overrides, suggestion",
    [
        ({"epoch": 3}, "epoch: unknown key; did you mean epochs?"),
        ({"optimizer.beta": 3}, "optimizer.beta: unknown key; did you mean betas?"),
        ({"objective.scal": 3}, "objective.scal: unknown key; did you mean scale?"),
        ({"schedules.lr.unti": 1}, "schedules.lr.unti: unknown key; did you mean until?"),
        ({"data": "minst"}, "did you mean: mnist"),
        ({"bound": "lipshitz"}, "did you mean: lipschitz"),
        ({"objective.name": "mixtur"}, "did you mean: mixture"),
    ],
)
def test_misspelling_gets_a_suggestion(overrides: dict, suggestion: str) -> None:
    assert any(suggestion in line for line in errors_of(DIGITS, overrides))


def test_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(NotFoundError, match=f"did you mean: {DIGITS}"):
        load_recipe("linf_dist_mlp3.digits_eps0.2")


@pytest.mark.parametrize("overrides", [{"data": "mnist"}, {"eps": "0.2"}, {"eps": "1/11"}])
def test_name_that_disagrees_with_the_recipe_is_refused(overrides: dict) -> None:
    assert f"the name {DIGITS} says digits at eps 0.1" in errors_of(DIGITS, overrides)[1]


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"schedules.lam": None}, "reads schedules that are not given: ['lam']"),
        ({"select": "best", "train_on": "train+validation"}, "needs validation images"),
        ({"objective": "{scale: 1}"}, "needs a name"),
        ({"schedules.lr.start": "nan"}, "schedules.lr.start"),
        ({"schedules.lr": 3}, "schedules.lr"),
        ({"eps": "8"}, "outside [0, 1]"),
    ],
)
def test_inconsistent_recipe_is_refused(overrides: dict, message: str) -> None:
    assert message in "\n".join(errors_of(DIGITS, overrides))


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        f"a: {'x' * 100_000}",
        BOMB,
        "a: " + "[" * 20_000,
        "a: 1\na: 2",
        "{b: {a: 1, a: 2}}",
        "? {x: 1}\n: 2",
        "a: 2020-99-99",
        "a: !!bool maybe",
        "a: !!timestamp never",
        "a: [",
        "\x00",
        "- a",
        "just a text",
        "",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_hostile_yaml_is_refused_quickly(text: str, tmp_path: Path) -> None:
    file, start = write(tmp_path, text), time.monotonic()
    line = errors_of(file)[0]
    assert time.monotonic() - start < 5
    assert len(line) < 300 and "mine" in line


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\xfd\x80")
    errors_of(tmp_path / "mine.yaml")


def test_reading_recipes_imports_no_torch() -> None:
    code = (
        "import sys; from zoo.recipes import *; [load_recipe(name) for name in list_recipes()];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
