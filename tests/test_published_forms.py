"""Published nets that are trained on as they are: folded, pruned, averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NAME
from safetensors.torch import load_file

import zoo
from zoo.attacks.pgd import PGD
from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.recipes import Recipe
from zoo.recipes.schema import ModelSpec
from zoo.training import run_training
from zoo.training.build import build_model
from zoo.training.published_sizes import with_published_sizes
from zoo.training.warm_start import warm_start

AVERAGE = "linf_average.digits_eps0.1_tuned"
QUICK = PGD(steps=2)


def recipe(init: object = None, name: str = "linf_dist_mlp3", **changes: Any) -> Recipe:
    """Two epochs at p = inf of what lies in `init`."""
    settings = {
        "name": f"{name}.digits_eps0.1_tuned",
        "init": None if init is None else str(init),
        "data": "digits",
        "eps": 0.1,
        "model": {"name": name, "folded": True},
        "objective": {"name": "mixture", "scale": 10},
        "schedules": {
            "lr": {"name": "constant", "value": 3e-3},
            "eps": {"name": "constant", "value": 0.15},
            "lam": {"name": "constant", "value": 0.01},
        },
        "epochs": 2,
        "batch_size": 32,
    }
    return Recipe.model_validate(settings | changes)


@pytest.fixture(scope="module")
def mean(shelf: Path, tmp_path_factory) -> Path:
    """Weight folder of the mean of a net and of the same net pruned, over two views."""
    out = tmp_path_factory.mktemp("published")
    pruned = zoo.prune(shelf / NAME, out=out, attack=QUICK, quiet=True)
    name = "linf_average.digits_eps0.1"
    nets = shelf / NAME, pruned
    return zoo.average(*nets, name=name, views=("same", "up"), out=out, attack=QUICK, quiet=True)


@pytest.fixture(scope="module")
def tuned(mean: Path, tmp_path_factory) -> Any:
    """A run that trains it on."""
    out = tmp_path_factory.mktemp("runs") / "tuned"
    return run_training(recipe(mean, "linf_average"), out=out, quiet=True)


def test_the_recipe_of_a_run_says_the_sizes_that_were_left_open(mean, tuned):
    card = zoo.info(str(mean))
    sizes = {"num_classes", "in_chans", "img_size"}
    wanted = {key: value for key, value in card.arch_args.items() if key not in sizes}
    assert tuned.recipe.model.arguments == wanted
    assert tuned.recipe.model.arguments["members"][1]["args"]["edges"]
    assert with_published_sizes(tuned.recipe) is tuned.recipe
    assert tuned.summary()["init_sha256"] == card.sha256


def test_it_starts_as_the_very_net_and_in_eval_mode(mean):
    spec = with_published_sizes(recipe(mean, "linf_average")).model
    model = build_model(spec, load_data("digits", "train"))
    began = warm_start(model, str(mean))
    wanted = zoo.load(mean).state_dict()
    assert began.fresh == [] and model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_every_weight_is_trained_and_no_edge_is_moved(mean, tuned):
    before, after = (load_file(folder / "model.safetensors") for folder in (mean, tuned.path))
    assert before.keys() == after.keys()
    for key, tensor in after.items():
        fixed = key.endswith(("index_E", "start"))
        assert torch.equal(tensor, before[key]) == fixed, key


def test_it_learns(mean, tuned):
    rows = [zoo.evaluate(zoo.load(mean), load_data("digits", "train"), attack=None, quiet=True)]
    folder = zoo.publish(tuned.path, out=tuned.path.parent / "out", attack=QUICK, quiet=True)
    after = zoo.load(folder)
    rows.append(zoo.evaluate(after, load_data("digits", "train"), attack=None, quiet=True))
    before_acc, after_acc = (report.rows[0].certified_acc for report in rows)
    assert after_acc > before_acc + 3
    # What is published are the run's bits: there is nothing left to fold.
    written, kept = (load_file(at / "model.safetensors") for at in (folder, tuned.path))
    assert all(torch.equal(written[key], kept[key]) for key in kept)


def test_a_run_is_published_form_enough_to_train_on(run: Path, shelf: Path):
    """Its net is folded first, so that both give the same start."""
    starts = []
    for source in run, shelf / NAME:
        found = with_published_sizes(recipe(source))
        model = build_model(found.model, load_data("digits", "train"))
        assert warm_start(model, str(source)).fresh == []
        starts.append(model.state_dict())
    assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])


def test_a_sortnet_keeps_its_order_weights_and_drops_nothing():
    spec = ModelSpec(name="sortnet_mlp3", width=8, rho=0.25, folded=True)
    net = build_model(spec, load_data("digits", "train"))
    x_BCHW, _ = load_data("digits", "train").batch(torch.arange(40))
    assert torch.equal(net(x_BCHW), net(x_BCHW))
    net(x_BCHW).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_what_cannot_be_trained_on_is_refused(mean: Path, shelf: Path, tmp_path: Path):
    def refused(of: Recipe, match: str) -> None:
        with pytest.raises(UsageError, match=match):
            run_training(of, out=tmp_path / "run", quiet=True)
        assert not (tmp_path / "run").exists()

    refused(recipe(), "say which: init: NAME in the recipe, or --from NAME")
    refused(recipe(mean), "is a linf_average, the recipe's model a linf_dist_mlp3")
    narrow = {"name": "linf_dist_mlp3", "folded": True, "width": 9}
    refused(recipe(shelf / NAME, model=narrow), "not all of .* fits LinfDistMLP")


def test_a_published_form_has_no_finite_p(mean: Path):
    finite = recipe(mean).schedules.model_dump() | {"p": {"name": "constant", "value": 64}}
    with pytest.raises(ValueError, match=r"leave schedules.p out, or model.folded"):
        recipe(mean, schedules=finite)


def test_edges_are_for_published_forms_alone():
    with pytest.raises(ValueError, match="edges"):
        ModelSpec(name="linf_dist_mlp3", width=8, edges=[3, 3, 3])
