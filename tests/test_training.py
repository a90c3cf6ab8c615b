"""Training: reproducible to the bit, recorded in full, and the same on two processes as on one."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import NAME, TINY
from safetensors.torch import load_file

from zoo.data.load import load_data
from zoo.errors import NotFoundError, UsageError, ZooError
from zoo.objectives import objectives
from zoo.recipes import load_recipe
from zoo.training import train
from zoo.training.build import build_model, build_optimizer
from zoo.training.loop import check_batch_size, train_epoch
from zoo.training.run import RunFolder
from zoo.training.select import Selection, validate
from zoo.training.step import Step

KEYS = ["epoch", "loss", "acc", "p", "lr", "val_acc", "val_cert", "seconds"]


def trained(out: Path, **overrides) -> RunFolder:
    """A short run on digits."""
    return train(NAME, out=out, overrides=TINY | overrides, quiet=True)


def kept(run: RunFolder) -> dict[str, torch.Tensor]:
    """The weights that a run kept."""
    return load_file(run.path / "model.safetensors")


def log_of(path: Path) -> list[dict]:
    """Rows of a run's log, read as strict JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    lines = (path / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts agree to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_equal_seeds_give_equal_bits_and_others_do_not(tmp_path: Path) -> None:
    augment = {"augment.pad": 1, "ema": 0.5}
    first = trained(tmp_path / "a", **augment)
    torch.rand(7)  # whatever was drawn before must not matter
    assert same(kept(first), kept(trained(tmp_path / "b", **augment)))
    assert not same(kept(first), kept(trained(tmp_path / "c", seed=1, **augment)))


def test_training_learns(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", epochs=15, evaluate_every=15, **{"model.width": 48})
    last = log_of(run.path)[-1]
    assert last["val_acc"] > 20  # 10 % is chance
    assert 0 < last["val_cert"] <= last["val_acc"]


def test_run_folder_holds_all_of_a_run(run: Path) -> None:
    names = ["log.jsonl", "model.safetensors", "recipe.yaml", "run.json"]
    assert sorted(file.name for file in run.iterdir()) == names
    opened = RunFolder.open(run)
    assert opened.recipe == load_recipe(NAME, TINY)
    summary = opened.summary()
    assert summary["seed"] == 0 and summary["selected_epoch"] == 2 and summary["device"] == "cpu"
    model = build_model(opened.recipe.model, load_data("digits", "train"))
    assert kept(opened).keys() == model.state_dict().keys()


def test_log_is_strict_json_with_a_row_an_epoch(run: Path) -> None:
    rows = log_of(run)
    assert [list(row) for row in rows] == [KEYS, KEYS]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert float(rows[1]["p"]) == math.inf  # as a text: JSON has no infinity


def test_epochs_between_looks_have_no_validation_columns(tmp_path: Path) -> None:
    rows = log_of(trained(tmp_path / "run", epochs=3, evaluate_every=2).path)
    assert [row["epoch"] for row in rows if "val_cert" in row] == [2, 3]


def test_used_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="already holds a run"):
        trained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="already holds a run"):
        trained(tmp_path / "mine.txt")


def test_unfinished_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no recipe\.yaml"):
        RunFolder.open(tmp_path)


def test_best_keeps_the_later_of_the_best_epochs() -> None:
    best, last = Selection("best"), Selection("last")
    scores = [1.0, 5.0, 5.0, 3.0]
    for epoch, score in enumerate(scores, 1):
        model = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(model.weight, epoch)
        for selection in (best, last):
            selection.offer(model, score, epoch, last=epoch == len(scores))
        torch.nn.init.zeros_(model.weight)  # a kept copy does not follow the model
    assert (best.epoch, best.certified, best.state["weight"].item()) == (3, 5.0, 3.0)
    assert (last.epoch, last.certified, last.state["weight"].item()) == (4, 3.0, 4.0)


def test_selected_weights_are_those_of_the_epoch_that_the_log_says(tmp_path: Path) -> None:
    # A learning rate this large undoes what was learned, so that the best epoch is not the last.
    lr = "{name: exponential, start: 0.03, end: 30, begin: 0.5}"
    overrides = {"select": "best", "epochs": 6, "schedules.lr": lr}
    run = trained(tmp_path / "run", **overrides)
    rows, summary = log_of(run.path), run.summary()
    certified = [row["val_cert"] for row in rows]
    best = max(i for i, value in enumerate(certified, 1) if value == max(certified))
    assert summary["selected_epoch"] == best < 6
    assert summary["validation_certified_acc"] == certified[best - 1]
    model = build_model(run.recipe.model, load_data("digits", "train"))
    model.load_state_dict(kept(run))
    accuracies = validate(model, load_data("digits", "validation"), run.recipe)
    assert accuracies == (rows[best - 1]["val_acc"], rows[best - 1]["val_cert"])


def test_average_of_the_weights_is_what_is_kept(tmp_path: Path) -> None:
    plain, tiny, slow = (
        trained(tmp_path / str(ema), ema=ema) for ema in (None, "1e-9", "0.999999")
    )
    raw, near, far = kept(plain), kept(tiny), kept(slow)
    assert raw.keys() == near.keys() == far.keys()
    for key in raw:
        assert torch.allclose(raw[key], near[key], atol=1e-5)
    first = build_model(plain.recipe.model, load_data("digits", "train")).state_dict()
    weight = "layers.dist1.weight"
    assert not torch.allclose(raw[weight], far[weight], atol=1e-3)
    assert first[weight].shape == far[weight].shape


@pytest.mark.parametrize("training", [True, False])
def test_validation_leaves_the_model_as_it_was(training: bool) -> None:
    recipe = load_recipe(NAME, TINY)
    data = load_data("digits", "validation")
    model = build_model(recipe.model, data).train(training)
    model.p = 12.5
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clean, certified = validate(model, data, recipe)
    assert 0 <= certified <= clean <= 100
    assert model.training is training and model.p == 12.5
    assert all(layer.training is training for layer in model.modules())
    assert same(before, dict(model.state_dict()))


def test_batch_larger_than_the_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch_size 1258 exceeds the 1257 images of digits"):
        trained(tmp_path / "run", batch_size=1258)
    assert not (tmp_path / "run").exists()
    recipe = load_recipe(NAME, {"batch_size": 9})
    with pytest.raises(UsageError, match="not a multiple of the 2 processes"):
        check_batch_size(recipe, load_data("digits", "train"), 2)


def test_loss_that_is_not_finite_stops_with_its_place_and_keeps_the_log(tmp_path: Path) -> None:
    # The second epoch begins at p = inf with weights of 1e30, whose logits overflow the scale.
    schedules = {"schedules.lr": "{name: linear, start: 0, end: 1e38, begin: 0.49}"}
    with pytest.raises(ZooError, match=r"the loss is \S+ at epoch 2, step [2-9]\b") as caught:
        trained(tmp_path / "run", **schedules)
    assert type(caught.value) is ZooError and "schedules.lr.start" in str(caught.value)
    assert [row["epoch"] for row in log_of(tmp_path / "run")] == [1]
    with pytest.raises(NotFoundError, match="not a finished run"):
        RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize(
    "overrides, message",
    [
        ({"optimizer.name": "adamm"}, "optimizer adamm"),
        ({"model.wdth": 3}, "wdth"),
        ({"model.width": 0}, "must be positive"),
        ({"model.name": "linf_dist_mpl3"}, "did you mean: linf_dist_mlp3"),
        ({"schedules.p": "{name: constant, value: 0.5}"}, "p must be at least 1"),
        ({"schedules.eps": "{name: constant, value: 0}"}, "eps must be positive"),
    ],
)
def test_recipe_that_cannot_be_built_is_a_usage_error(overrides, message, tmp_path) -> None:
    with pytest.raises(UsageError, match=message):
        trained(tmp_path / "run", **overrides)


def test_overrides_do_not_apply_to_a_loaded_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="overrides apply to"):
        train(load_recipe(NAME), out=tmp_path / "run", overrides={"seed": 1})


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    settings = {"epochs": 3, "model.width": 16, "evaluate_every": 1, "ema": 0.9, "augment.pad": 1}
    # MeanShift makes some gradients exactly 0 but for rounding. The recipe's Adam, with its tiny
    # eps, would turn that noise into whole steps, and sums taken in another order into others.
    settings |= {"optimizer.eps": 1e-4}
    one = train(NAME, out=tmp_path / "one", overrides=settings, quiet=True)
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "zoo", "train", NAME, *words, "--out", str(tmp_path / "two")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What accelerate launch sets for each process; on CPUs alone it would start one only.
    launched = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    launched |= {"MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(command, env=os.environ | launched | {"RANK": i, "LOCAL_RANK": i}, **pipes)
        for i in "01"
    ]
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    # Only the first process speaks.
    assert [out for out, _ in outputs] == [f"{tmp_path / 'two'}\n", ""]
    assert [bool(error) for _, error in outputs] == [True, False], outputs
    for a, b in zip(log_of(one.path), log_of(tmp_path / "two"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0, abs=1e-5)
        assert {**a, "loss": 0, "seconds": 0} == {**b, "loss": 0, "seconds": 0}
    ours, theirs = kept(one), kept(RunFolder.open(tmp_path / "two"))
    for key in ours:
        assert torch.allclose(ours[key], theirs[key], atol=1e-4), key


class Identity(torch.nn.Module):
    """Logits as they are given; its Lipschitz constant is what it is told to be."""

    def __init__(self, lipschitz: float):
        super().__init__()
        self.lipschitz = lipschitz

    def forward(self, logits_BK: torch.Tensor) -> torch.Tensor:
        return logits_BK


def random_logits(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels, some of them classified correctly and some not, in float64."""
    g = torch.Generator().manual_seed(seed)
    logits_BK = torch.randn(40, 5, generator=g, dtype=torch.float64)
    return logits_BK, torch.where(
        torch.rand(40, generator=g) < 0.5,
        logits_BK.argmax(1),
        torch.randint(0, 5, (40,), generator=g),
    )


def wrong_margins(logits_BK: torch.Tensor, y_B: torch.Tensor) -> np.ndarray:
    """f_y - f_k of the wrong classes only, (B, K - 1), by loops."""
    return np.array(
        [
            [row[y] - value for k, value in enumerate(row) if k != y]
            for row, y in zip(logits_BK.tolist(), y_B.tolist(), strict=True)
        ]
    )


@pytest.mark.parametrize("mix, kappa", [(1.0, 1.0), (0.0, 1.0), (0.75, 1.0), (0.3, 0.6)])
def test_hinge_is_the_formula(mix: float, kappa: float) -> None:
    logits_BK, y_B = random_logits()
    eps, lipschitz = 0.11, 2.5
    objective = objectives["hinge"](name="hinge", mix=mix, kappa=kappa)
    found = objective(Identity(lipschitz), logits_BK, y_B, {"eps": eps}, {}).loss.item()
    margins = wrong_margins(logits_BK, y_B)

    def hinge(theta: float) -> float:
        short = np.maximum(theta - margins, 0)
        return mix * short.max(1).mean() + (1 - mix) * short.sum() / logits_BK.numel()

    # Margins shrink by 2 L eps within the ball, eps in raw pixels.
    want = kappa * hinge(2 * lipschitz * eps) + (1 - kappa) * hinge(0.0)
    assert found == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.05, 2.0])
def test_mixture_is_the_formula(lam: float) -> None:
    logits_BK, y_B = random_logits()
    eps, lipschitz, scale = 0.2, 1.5, 0.7
    objective = objectives["mixture"](name="mixture", scale=scale)
    own = objective.parameters()
    assert list(own) == ["scale"] and own["scale"].item() == pytest.approx(scale)
    knobs = {"eps": eps, "lam": lam}
    loss = objective(
        Identity(lipschitz), logits_BK, y_B, knobs, {"scale": torch.tensor(scale)}
    ).loss
    worst = wrong_margins(logits_BK, y_B).min(1)
    hinge = np.clip(1 - worst / (2 * lipschitz * eps), 0, 1).mean()
    scaled = np.float64(np.float32(scale)) * logits_BK.numpy()
    own_logit = scaled[np.arange(len(scaled)), y_B.numpy()]
    cross_entropy = (np.log(np.exp(scaled).sum(1)) - own_logit).mean()
    assert loss.item() == pytest.approx(hinge + lam * cross_entropy, rel=1e-12)


def test_clipped_hinge_leaves_misclassified_images_alone() -> None:
    logits_BK, y_B = random_logits()
    logits_BK.requires_grad_()
    knobs, own = {"eps": 0.2, "lam": 0.0}, {"scale": torch.tensor(1.0)}
    objectives["mixture"](name="mixture")(Identity(1.0), logits_BK, y_B, knobs, own).loss.backward()
    worst_B = torch.tensor(wrong_margins(logits_BK.detach(), y_B).min(1))
    pulled_B = (logits_BK.grad != 0).any(1)
    assert pulled_B.equal((worst_B > 0) & (worst_B < 0.4))
    assert pulled_B.any() and (worst_B < 0).any() and (worst_B > 0.4).any()


@pytest.mark.parametrize("name", ["hinge", "mixture"])
def test_label_column_never_enters_the_hinge(name: str) -> None:
    # All margins are far above the threshold: a loss that counted the label's own 0 would not be 0.
    logits_BK, y_B = 100 * torch.eye(5, dtype=torch.float64), torch.arange(5)
    knobs, own = {"eps": 0.2, "lam": 0.0}, {"scale": torch.tensor(1.0)}
    assert objectives[name](name=name)(Identity(1.0), logits_BK, y_B, knobs, own).loss.item() == 0


def test_threshold_is_in_raw_pixels() -> None:
    recipe, data = load_recipe(NAME, TINY), load_data("digits", "train")
    model = build_model(recipe.model, data).eval()
    x_BCHW, y_B = data.batch(torch.arange(64))
    hinge = objectives["hinge"](name="hinge", mix=1.0)
    with torch.no_grad():
        found = hinge(model, x_BCHW, y_B, {"eps": 0.1}, {}).loss.item()
        margins = wrong_margins(model(x_BCHW), y_B)
    theta = 2 * 0.1 / data.std  # dividing pixels by s makes a ball of raw eps one of eps / s
    assert found == pytest.approx(np.maximum(theta - margins, 0).max(1).mean(), rel=1e-5)


def test_scale_is_trained_and_is_no_part_of_the_model() -> None:
    recipe, data = load_recipe(NAME, TINY), load_data("digits", "train")
    step = Step(build_model(recipe.model, data), recipe.objective)
    optimizer = build_optimizer(step, recipe)
    assert [group["lr_share"] for group in optimizer.param_groups] == [1.0, 0.2]
    accelerator = Accelerator(cpu=True)
    step, optimizer = accelerator.prepare(step, optimizer)
    train_epoch(accelerator, step, optimizer, data, recipe, 0, None)
    assert step.parameters_of_objective["scale"].item() != 1.0
    assert not [key for key in step.model.state_dict() if "scale" in key]
