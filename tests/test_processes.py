"""Several processes train as one: equal losses, equal bits, one voice, and one end for all."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from faults.forks import Forks, plant
from faults.plants import around
from faults.points import full
from faults.poisons import poisoned
from faults.runs import STEPS_PER_EPOCH, Runs, litter, whole
from processes_harness import (
    RECORDED,
    Pair,
    check_stopped,
    free_port,
    launch,
    mean_losses,
    outcome,
    records,
    seat,
)
from processes_plants import broken, counted, drift, impatient
from safetensors.torch import load_file

from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.recipes import load_recipe
from zoo.training import run_training
from zoo.training.build import build_model
from zoo.training.log import read_log
from zoo.training.processes import _bit_sums, make_accelerator
from zoo.training.run import RunFolder
from zoo.training.select import validate
from zoo.training.step import Step

# The recipe as it is, its optimiser too, but for its length.
TWO_EPOCHS = {"epochs": 2}
WORDS = ["train", NAME, *(f"{key}={value}" for key, value in TWO_EPOCHS.items())]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[Runs]:
    """Runs of forked processes, in a temporary folder."""
    server = Forks()
    yield Runs(server, tmp_path_factory.mktemp("processes"))
    server.close()


@pytest.fixture(scope="module")
def launched(tmp_path_factory) -> Path:
    """An uninterrupted run that accelerate launched on two processes, and their records."""
    folder = tmp_path_factory.mktemp("launched")
    ended = outcome(launch(RECORDED, *WORDS, "--out", folder / "run", RECORD=str(folder)))
    assert ended.code == 0, ended.err
    assert ended.out == f"{folder / 'run'}\n"
    return folder


def test_losses_of_two_processes_are_those_of_one(launched, tmp_path, monkeypatch) -> None:
    losses: list[float] = []

    def noting(forward):
        def call(*arguments):
            loss, correct = forward(*arguments)
            losses.append(loss.item())
            return loss, correct

        return call

    monkeypatch.setattr(Step, "forward", Step.forward)  # to have it back afterwards
    around(Step, "forward", noting)
    one = run_training(NAME, out=tmp_path / "one", overrides=TWO_EPOCHS, quiet=True)
    apart = [abs(a - b) for a, b in zip(mean_losses(launched), losses, strict=True)]
    assert len(apart) == 78 and max(apart) < 1e-5
    assert len({tuple(report["losses"]) for report in records(launched)}) == 2  # of two shares
    two = RunFolder.open(launched / "run")
    assert (one.summary()["processes"], two.summary()["processes"]) == (1, 2)
    for a, b in zip(*(read_log(run.path / "log.jsonl") for run in (one, two)), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0, abs=1e-5)
        assert {**a, "loss": 0, "seconds": 0} == {**b, "loss": 0, "seconds": 0}


def test_ranks_end_with_equal_bits_and_without_threads_of_gloo(launched) -> None:
    first, second = records(launched)
    assert first["bits"] == second["bits"] != []
    for report in (first, second):
        assert not [name for name in report["threads"] if "gloo" in name or "store" in name]


def test_a_drift_of_one_bit_is_found(runs) -> None:
    out = runs.folder()
    own = {1: plant(drift, step=4, ulps=[1])}
    first, second = Pair(runs, out, own=own).ended()
    assert (first.code, second.code) == (1, 1)
    assert "drifted apart: they disagree about model.layers.dist1.weight\n" in first.err
    assert second.err == ""
    assert whole(out)[-1] == 3


def test_bit_sums_see_every_bit_and_changes_that_cancel_each_other() -> None:
    tensor = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    before = _bit_sums([tensor])
    for i in range(tensor.numel()):
        for bit in range(32):
            changed = tensor.clone()
            mask = torch.tensor(1 << bit).to(torch.int32)
            changed.view(torch.int32).view(-1)[i] ^= mask
            assert _bit_sums([changed]) != before, (i, bit)
    changed = tensor.clone()
    changed.view(torch.int32).view(-1)[:2] += torch.tensor([1, -1])
    assert _bit_sums([changed]) != before
    kinds = [tensor.bool(), tensor.half(), tensor.double(), torch.tensor(3), torch.empty(0)]
    assert _bit_sums(kinds).shape == (5,)


def test_counts_of_shares_add_up_to_those_of_all_images(runs, run, tmp_path) -> None:
    sizes, port = [179, 1, 180], free_port()
    plan = plant(counted, weights=str(run), sizes=sizes, folder=str(tmp_path))
    started = [runs.start(tmp_path, plan, **seat(rank, port)) for rank in (0, 1)]
    ends = [rank.ended() for rank in started]
    assert [end.code for end in ends] == [0, 0], ends
    first, second = records(tmp_path)
    recipe, data = load_recipe(run / "recipe.yaml"), load_data("digits", "validation")
    model = build_model(recipe.model, data)
    model.load_state_dict(load_file(run / "model.safetensors"))
    alone = [list(validate(model, data.take(n), recipe)) for n in sizes]
    assert first["accuracies"] == second["accuracies"] == alone
    for n, clean, *shares in zip(sizes, alone, first["shares"], second["shares"], strict=True):
        assert [images for images, _, _ in shares] == [n - n // 2, n // 2]
        assert 100 * sum(right for _, right, _ in shares) / n == clean[0]


def test_one_message_where_the_main_process_cannot_have_the_folder(runs) -> None:
    out = runs.folder()
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    begun = time.monotonic()
    first, second = Pair(runs, out).ended()
    assert time.monotonic() - begun < 30
    assert (first.code, second.code) == (2, 2)
    assert first.err.startswith(f"error: {out} holds files that are no run's\n")
    assert second.err == ""
    assert [file.name for file in out.iterdir()] == ["mine.txt"]


@pytest.mark.usefixtures("only_full")
def test_a_signal_to_the_launcher_stops_and_saves(launched, runs, tmp_path) -> None:
    check_stopped(runs, WORDS, tmp_path / "run", launched / "run", os.kill)


def test_a_loss_of_one_process_that_is_not_finite_stops_all(runs) -> None:
    out, step = runs.folder(), STEPS_PER_EPOCH + 4
    fault = plant(poisoned, where="loss", step=step, value=math.nan, seed=0)
    pair = Pair(runs, out, own={1: fault})
    first, second = pair.ended()
    assert (first.code, second.code) == (1, 1)
    assert "another process is not finite at epoch 2, step 4 (step 13 of the run)" in first.err
    assert second.err == ""
    assert [rank.cells.step for rank in pair.ranks] == [step - 1, step - 1]
    assert whole(out)[-1] == step - 1
    for tensor in load_file(max((out / "checkpoints").iterdir())).values():
        assert bool(tensor.isfinite().all())
    Pair(runs, out).finish()


@pytest.mark.parametrize("file", ["step-", "log.jsonl", "model.safetensors"])
def test_a_full_disk_of_the_main_process_ends_all(file: str, runs) -> None:
    out = runs.folder()
    nth = 12 if file == "step-" else 1
    first, second = Pair(runs, out, own={0: plant(full, name=file, nth=nth)}).ended()
    assert (first.code, second.code) == (1, 1)
    assert re.match(rf"error: cannot write {out}/\S*{file}\S*: File too large\n", first.err)
    assert second.err == "" and litter(out) == []
    Pair(runs, out).finish()


def test_a_run_goes_on_with_another_number_of_processes(runs, one_thread) -> None:
    out, step = runs.folder(), STEPS_PER_EPOCH + 4
    fault = plant(poisoned, where="loss", step=step, value=math.nan, seed=0)
    Pair(runs, out, own={1: fault}).ended()
    alone = runs.start(out, words=("--resume",))
    ended = alone.ended()
    assert ended.code == 0 and alone.cells.begun_at == step - 1
    assert "bits may differ from an uninterrupted run: processes was 2, is 1\n" in ended.err
    assert [start["processes"] for start in RunFolder.open(out).environments()] == [2, 1]
    logs = (read_log(folder / "log.jsonl") for folder in (out, runs.straight()))
    for a, b in zip(*logs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0, abs=1e-5)


def test_an_error_that_nothing_foresees_ends_all(runs) -> None:
    first, second = Pair(runs, runs.folder(), own={1: plant(broken, step=5)}).ended()
    assert (first.code, second.code) == (1, 1)
    assert first.err.startswith("error: another process of this run is gone")
    assert "illegal memory access" in second.err and "--debug" in second.err


def test_processes_that_do_not_find_each_other_say_so(runs) -> None:
    own = plant(impatient, seconds=2)
    ended = runs.start(runs.folder(), own, **seat(1, free_port())).ended()
    assert ended.code == 1
    assert "\nerror: the 2 processes of this run do not find each other\n" in ended.err


@pytest.mark.parametrize(
    "variables, precision, message",
    [
        ({"ACCELERATE_USE_FSDP": "true"}, "float32", "configured for FSDP; the zoo trains data-"),
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "float32", "configured for DEEPSPEED; the zoo"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "float32", "configured for MEGATRON_LM; the zoo"),
        ({"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"}, "float32", "BACKEND=INDUCTOR\n  a run is a"),
        ({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}, "float32", "STEPS=4\n  a run is a"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "float32", "mixed precision bf16, the recipe for"),
        ({"ACCELERATE_MIXED_PRECISION": "fp16"}, "bfloat16", "mixed precision fp16, the recipe"),
    ],
)
def test_what_belongs_to_the_recipe_is_refused(
    variables, precision, message, monkeypatch, tmp_path
) -> None:
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    recipe = load_recipe(NAME, TINY | {"precision": precision})
    with pytest.raises(UsageError, match=message):
        make_accelerator(recipe, tmp_path, ())


def test_a_refusal_is_said_once(runs) -> None:
    port, env = free_port(), {"ACCELERATE_USE_FSDP": "true"}
    started = [runs.start(runs.folder(), **seat(rank, port), **env) for rank in (0, 1)]
    first, second = (rank.ended() for rank in started)
    assert (first.code, second.code) == (2, 2)
    assert first.err.startswith("error: accelerate is configured for FSDP") and second.err == ""
