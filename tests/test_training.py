"""Training: reproducible to the bit, recorded in full, and the same on two processes as on one."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file

import zoo
from zoo.data.load import load_data
from zoo.errors import NotFoundError, UsageError, ZooError
from zoo.recipes import load_recipe
from zoo.training import run_training
from zoo.training.batches import Batches
from zoo.training.build import build_model
from zoo.training.run import RunFolder
from zoo.training.select import Selection, validate

KEYS = ["epoch", "loss", "acc", "p", "lr", "val_acc", "val_cert", "seconds"]


def trained(out: Path, **overrides) -> RunFolder:
    """A short run on digits."""
    return run_training(NAME, out=out, overrides=TINY | overrides, quiet=True)


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


def test_a_watcher_sees_the_model_after_each_epoch_and_changes_nothing(tmp_path: Path) -> None:
    seen = []

    def watch(model: torch.nn.Module, epochs: int) -> None:
        torch.rand(3)
        seen.append((epochs, next(model.parameters()).detach().clone()))

    watched = run_training(NAME, out=tmp_path / "a", overrides=TINY, quiet=True, watch=watch)
    assert [epochs for epochs, _ in seen] == list(range(1, watched.recipe.epochs + 1))
    assert not torch.equal(seen[0][1], seen[-1][1])
    assert same(kept(watched), kept(trained(tmp_path / "b")))


def test_a_fused_optimizer_trains_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", **{"optimizer.fused": True})
    assert not same(kept(whole), kept(trained(tmp_path / "other")))

    class Stop(Exception):
        pass

    def stop(model: torch.nn.Module, epochs: int) -> None:
        if epochs == whole.recipe.epochs - 1:
            raise Stop

    settings = {"overrides": TINY | {"optimizer.fused": True}, "quiet": True, "save_every": 0}
    with pytest.raises(Stop):
        run_training(NAME, out=tmp_path / "cut", watch=stop, **settings)
    again = run_training(NAME, out=tmp_path / "cut", resume=True, **settings)
    assert same(kept(again), kept(whole))


def test_an_optimizer_without_a_fused_step_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^optimizer lamb: .*fused"):
        trained(tmp_path / "run", **{"optimizer.name": "lamb", "optimizer.fused": True})


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
    names = "curves.png environment.json log.jsonl model.safetensors recipe.yaml run.json".split()
    assert sorted(file.name for file in run.iterdir() if file.name[0] != ".") == names
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
    with pytest.raises(UsageError, match="holds files that are no run's"):
        trained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="holds files that are no run's"):
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
        Batches(recipe, load_data("digits", "train"), 0, 2)


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
        run_training(load_recipe(NAME), out=tmp_path / "run", overrides={"seed": 1})


@pytest.mark.usefixtures("only_full")
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    settings = {"epochs": 3, "model.width": 16, "evaluate_every": 1, "ema": 0.9, "augment.pad": 1}
    # MeanShift makes some gradients exactly 0 but for rounding. The recipe's Adam, with its tiny
    # eps, would turn that noise into whole steps, and sums taken in another order into others.
    settings |= {"optimizer.eps": 1e-4}
    one = run_training(NAME, out=tmp_path / "one", overrides=settings, quiet=True)
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


def test_zoo_train_reports_the_kept_net_on_the_validation_split(tmp_path):
    report = zoo.train(NAME, out=tmp_path / "run", overrides=TINY, quiet=True)
    (row,) = report.rows
    assert (row.model, row.split, row.n, row.eps) == (NAME, "validation", 180, "0.1")
    assert report.run == tmp_path / "run" and row.attack == "none"
    last = log_of(tmp_path / "run")[-1]
    assert row.clean_acc == pytest.approx(last["val_acc"], abs=0.6)
    assert row.certified_acc == pytest.approx(last["val_cert"], abs=0.6)
