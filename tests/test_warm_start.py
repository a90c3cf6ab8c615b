"""Fine-tuning: what a run starts from, what it takes over, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file

import zoo
from zoo.data.load import load_data
from zoo.errors import NotFoundError, UsageError
from zoo.models import LinfDistMLP
from zoo.recipes import load_recipe
from zoo.tensors import sha256_of
from zoo.training import run_training
from zoo.training.build import build_model
from zoo.training.checkpoints import read_checkpoint
from zoo.training.warm_start import _read_otherwise, warm_start

WIDE = {"model.width": 256}  # as the published net


def fresh(**changes) -> LinfDistMLP:
    """The digits recipe's net with random weights, in eval mode at p = inf."""
    model = build_model(load_recipe(NAME, WIDE).model, load_data("digits", "train"))
    assert isinstance(model, LinfDistMLP)
    settings = model.config | {"mean": model.mean, "std": model.std} | changes
    return LinfDistMLP(depth=settings.pop("depth", 3), **settings).eval()


@pytest.mark.parametrize("changes", [{}, {"mean": (0.1,), "std": 0.7}])
def test_start_is_the_published_function_in_any_normalisation(changes) -> None:
    model, published = fresh(**changes), zoo.load(NAME)
    x_BCHW, _ = load_data("digits", "test").batch(torch.arange(200))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    began = warm_start(model, NAME)
    with torch.no_grad():
        found_BK, wanted_BK = model(x_BCHW), published(x_BCHW)
    assert torch.allclose(found_BK * model.std, wanted_BK, atol=1e-5)
    assert torch.equal(found_BK.argmax(1), wanted_BK.argmax(1))
    assert began.fresh == [] and began.sha256 == zoo.info(NAME).sha256
    # The data's normalisation stays; all else is taken over.
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == ("normalize" in key), key


def test_weight_folder_is_as_good_as_its_name(shelf: Path) -> None:
    model = fresh(width=16)
    assert warm_start(model, str(shelf / NAME)).fresh == []


def test_run_folder_gives_its_very_bits(run: Path) -> None:
    model = fresh(width=16)
    began = warm_start(model, str(run))
    kept = load_file(run / "model.safetensors")
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert began.sha256 == sha256_of(run / "model.safetensors") and began.fresh == []


def test_run_of_another_normalisation_gives_its_function(run: Path) -> None:
    same, other = fresh(width=16), fresh(width=16, mean=(0.2,), std=0.5)
    x_BCHW, _ = load_data("digits", "test").batch(torch.arange(64))
    with torch.no_grad():
        for model in (same, other):
            warm_start(model, str(run))
        assert torch.allclose(same(x_BCHW) * same.std, other(x_BCHW) * other.std, atol=1e-4)


def test_what_does_not_fit_is_listed_and_stays_random() -> None:
    model = fresh(num_classes=7)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    began = warm_start(model, NAME)
    assert str(began).splitlines() == [
        f"started from {NAME}: 4 of 6 tensors",
        "  re-initialised layers.dist3.weight: (7, 256) here, (10, 256) there",
        "  re-initialised layers.dist3.bias: (7,) here, (10,) there",
    ]
    for key, value in model.state_dict().items():
        taken = key in began.copied
        assert torch.equal(value, before[key]) != taken, key


def test_a_first_layer_that_reads_other_features_is_not_taken_over() -> None:
    """As many features in another order have the same shapes, and other meanings."""
    names = ["max2", "min2", "raw"]
    trained, model = fresh(stem=names), fresh(stem=names[::-1])
    assert _read_otherwise(model, trained) == {"layers.dist1.weight"}
    assert _read_otherwise(fresh(stem=names), trained) == set()
    assert _read_otherwise(fresh(), fresh(mean=0.2, std=0.5)) == set()


def test_other_image_sizes_keep_the_later_layers() -> None:
    model = fresh(img_size=12, in_chans=3, mean=(0.1, 0.2, 0.3))
    began = warm_start(model, NAME)
    assert began.fresh == ["layers.dist1.weight: (256, 432) here, (256, 64) there"]


def test_deeper_net_says_which_layers_are_new() -> None:
    began = warm_start(fresh(depth=4), NAME)
    assert "layers.dist4.weight (10, 256): there is none there" in began.fresh
    assert "layers.dist3.weight: (256, 256) here, (10, 256) there" in began.fresh


def test_net_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no tensor of .* fits LinfDistMLP") as caught:
        warm_start(fresh(width=20, num_classes=3), NAME)
    assert "choose a net of the recipe's architecture and width" in str(caught.value)


@pytest.mark.parametrize("source", ["linf_dist_mlp3.digits_eps0.2", "no/such/folder"])
def test_unknown_source_leaves_no_folder(source: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        run_training(NAME, init=source, out=tmp_path / "run", overrides=TINY, quiet=True)
    assert not (tmp_path / "run").exists()


def test_run_records_its_start_and_fine_tuning_beats_a_fresh_start(tmp_path: Path, capsys) -> None:
    # One short epoch at p = inf: nowhere near enough for random weights.
    short = WIDE | {"epochs": 1, "schedules.lr.start": 1e-3, "ema": 0.5, "select": "best"}
    short |= {"schedules.p": "{name: constant, value: inf}"}
    tuned = run_training(NAME, init=NAME, out=tmp_path / "a", overrides=short, save_every=0)
    said = capsys.readouterr().err
    assert f"started from {NAME}: 6 of 6 tensors" in said
    alone = run_training(NAME, out=tmp_path / "b", overrides=short, quiet=True)
    summaries = [folder.summary() for folder in (tuned, alone)]
    assert summaries[0]["validation_certified_acc"] > 70
    assert summaries[1]["validation_certified_acc"] < 30
    assert summaries[0]["init"] == NAME and "init" not in summaries[1]
    assert summaries[0]["init_sha256"] == zoo.info(NAME).sha256
    assert tuned.recipe.init == NAME and alone.recipe.init is None
    # The average starts from the same weights.
    first = min(tuned.checkpoints._folder.iterdir())
    average = read_checkpoint(first).tensors["ema.layers.dist1.weight"]
    assert torch.allclose(
        average, load_file(tuned.path / "model.safetensors")["layers.dist1.weight"], atol=0.05
    )


def test_resumed_run_remembers_its_start(tmp_path: Path) -> None:
    settings = {"overrides": WIDE | {"epochs": 1}, "quiet": True, "init": NAME}
    run = run_training(NAME, out=tmp_path / "run", save_every=0, **settings)
    whole = run.summary()
    for name in ("run.json", "model.safetensors"):  # as if it had died before its end
        (run.path / name).unlink()
    again = run_training(NAME, out=run.path, resume=True, **settings)
    assert len(again.environments()) == 2
    for key in ("init", "init_sha256", "validation_certified_acc"):
        assert again.summary()[key] == whole[key]
    with pytest.raises(UsageError, match=r"init = linf_dist_mlp3\.digits_eps0\.1, not None"):
        run_training(NAME, out=run.path, resume=True, overrides=WIDE | {"epochs": 1}, quiet=True)


def test_card_tells_of_the_start(tmp_path: Path) -> None:
    from zoo.attacks.pgd import PGD
    from zoo.publishing.from_run import publish

    overrides = WIDE | {"epochs": 1, "schedules.p": "{name: constant, value: inf}"}
    run = run_training(NAME, init=NAME, out=tmp_path / "run", overrides=overrides, quiet=True)
    folder = publish(run.path, out=tmp_path / "weights", attack=PGD(steps=1), quiet=True)
    training = json.loads((folder / "config.json").read_text())["zoo"]["training"]
    assert training["init"] == NAME and training["init_sha256"] == zoo.info(NAME).sha256
    page = (folder / "README.md").read_text()
    assert f"zoo train {NAME} seed=0 --from {NAME}\n```" in page
    assert f"Training started from {NAME}" in page
