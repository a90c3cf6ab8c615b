"""What a run says and keeps: plan, pace, environment, trackers, and its folder's rules."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY

from zoo.errors import UsageError
from zoo.ops.native import describe
from zoo.training import run_training
from zoo.training.checkpoints import read_checkpoint
from zoo.training.environment import differences
from zoo.training.log import RunLog, read_log
from zoo.training.plan import Pace, Plan
from zoo.training.run import RunFolder


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> RunFolder:
    """A run with TensorBoard that was cut off after its first epoch's checkpoint, and went on."""
    out = tmp_path_factory.mktemp("runs") / "tracked"
    settings = {"out": out, "overrides": TINY | {"epochs": 3}, "trackers": ["tensorboard"]}
    run = run_training(NAME, save_every=0, quiet=True, **settings)
    for name in ("run.json", "model.safetensors"):
        (out / name).unlink()
    for path in (out / "checkpoints").iterdir():
        if read_checkpoint(path).facts["epochs"] == 3:
            path.unlink()  # what is left is the state before the end of the last epoch
    assert run.checkpoints.exist
    return run_training(NAME, resume=True, quiet=True, **settings)


def test_plan_comes_first_and_the_pace_once(tmp_path: Path, capsys) -> None:
    run_training(NAME, out=tmp_path / "run", overrides=TINY)
    said = capsys.readouterr()
    assert said.out == ""  # results only, and there is none to print here
    lines = said.err.splitlines()
    assert lines[:5] == [
        "plan",
        "  data    digits train, 1,257 images",
        "  model   linf_dist_mlp3, 1,450 parameters",
        "  steps   2 epochs x 39 = 78, batch 32",
        lines[4],
    ]
    assert re.fullmatch(r"  on      1 x .+, \d+ threads", lines[4])
    assert lines[5] == f"  into    {tmp_path / 'run'}"
    measured = [line for line in lines if line.startswith("  measured ")]
    pattern = r"  measured [\d.]+ m?s a step, \d:\d\d:\d\d to go without validation, [\d,]+ MiB .*"
    assert len(measured) == 1 and re.fullmatch(pattern, measured[0])


def test_pace_is_that_of_the_steps_after_the_first(monkeypatch) -> None:
    now = iter([100.0, *(100.0 + 0.5 * i for i in range(1, 40))])
    monkeypatch.setattr("zoo.training.plan.time.monotonic", lambda: next(now))
    said: list[str] = []
    pace = Pace(1000, torch.device("cpu"), said.append)
    for _ in range(30):
        pace.step()
    # Ten half seconds after the first step: 989 steps are left.
    assert len(said) == 1 and said[0].startswith("  measured 500 ms a step, 0:08:14 to go")


def test_plan_of_a_resumed_run_says_what_is_left() -> None:
    plan = Plan("d", 10, "m", 5, 4, 100, 2, "1 x cpu", "runs/x", done=150)
    assert str(plan).splitlines()[-1] == "  resumed after step 150, 250 to go"


def test_environment_has_an_entry_a_start(tracked: RunFolder) -> None:
    starts = tracked.environments()
    assert len(starts) == 2
    for start in starts:
        assert start["torch"] == torch.__version__ and start["processes"] == 1
        assert start["threads"] == torch.get_num_threads() and start["device"] == "cpu"
        assert start["ops"] == describe()
    assert tracked.summary()["commit"] == starts[0]["commit"]


def test_change_of_what_decides_the_bits_is_told() -> None:
    before = {"commit": "a", "torch": "2.11", "device": "cpu", "processor": "x", "processes": 1}
    before |= {"threads": 2, "ops": "native (avx512)"}
    assert differences(before, before | {"started": "later", "timm": "9"}) == []
    told = differences(before, before | {"threads": 1, "torch": "2.15", "ops": "native (avx2)"})
    assert told[:2] == ["torch was 2.11, is 2.15", "threads was 2, is 1"]
    assert told[2:] == ["ops was native (avx512), is native (avx2)"]


def test_tensorboard_has_each_epoch_once(tracked: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tracked.path / "trackers" / NAME
    events = EventAccumulator(str(folder))
    events.Reload()
    rows = read_log(tracked.path / "log.jsonl")
    for key in ("loss", "val_cert"):
        found = [(event.step, event.value) for event in events.Scalars(key)]
        assert found == [(row["epoch"], pytest.approx(row[key], rel=1e-6)) for row in rows]


@pytest.mark.parametrize(
    "name, message",
    [("tensorbord", "unknown tracker 'tensorbord'"), ("swanlab", "pip install swanlab")],
)
def test_unknown_or_missing_tracker_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        run_training(NAME, out=tmp_path / "run", overrides=TINY, trackers=[name], quiet=True)
    assert not (tmp_path / "run").exists()


def test_resumed_run_is_the_run(tracked: RunFolder, tmp_path: Path) -> None:
    whole = run_training(NAME, out=tmp_path / "run", overrides=TINY | {"epochs": 3}, quiet=True)
    for name in ("model.safetensors", "recipe.yaml"):
        assert (whole.path / name).read_bytes() == (tracked.path / name).read_bytes()
    logs = [read_log(run.path / "log.jsonl") for run in (whole, tracked)]
    for a, b in zip(*logs, strict=True):
        assert a | {"seconds": 0} == b | {"seconds": 0}


def test_log_drops_rows_that_a_crash_has_undone(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"epoch": i, "loss": 1.0}) + "\n" for i in (1, 2, 3))
    (tmp_path / "log.jsonl").write_text(rows + '{"epoch": 4, "lo')
    with RunLog(tmp_path, 9, 2, quiet=True) as log:
        log.epoch({"epoch": 3, "loss": 0.5})
    assert [row["loss"] for row in read_log(tmp_path / "log.jsonl")] == [1.0, 1.0, 0.5]


def test_lines_of_progress_are_half_a_minute_apart(tmp_path: Path, capsys, monkeypatch) -> None:
    now = iter([0.0, 10.0, 29.0, 31.0, 40.0, 41.0])
    monkeypatch.setattr("zoo.training.log.time.monotonic", lambda: next(now))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with RunLog(tmp_path, 6) as log:
        for epoch in range(1, 7):
            log.epoch({"epoch": epoch, "loss": 0.25})
    said = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert said == ["1/6", "4/6", "6/6"]  # the first, one after 30 s, the last
