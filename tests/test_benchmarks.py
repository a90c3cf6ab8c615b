"""The benchmark of the ops runs, has all its rows, and nothing in it beats the CPU.

Those that compare with others' figures fail where one of them differs.

Shapes: B images, K classes.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.data.pixels import Pixels
from zoo.ops import native

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS, REALS = (8, 12, 16, 24, 32, 48, 64), (10, 20, 40, 100, 300, 1000)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Runs the benchmark: what it prints, and what it writes."""
    if not native.load():
        pytest.skip("no native kernels to measure")

    def run(*arguments: str) -> tuple[str, dict]:
        out = tmp_path_factory.mktemp("bench") / "bench.json"
        command = [sys.executable, "benchmarks/ops.py", *arguments, "--json", str(out)]
        # One thread: on a busy machine threads wait for each other.
        done = subprocess.run(
            [*command, "--threads", "1"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, json.loads(out.read_text())

    return run


def test_the_table_has_every_row_and_rates_of_all_contestants(bench):
    printed, found = bench("--quick")
    rows = {(row["p"], row["op"]): row for row in found["rows"]}
    infinite = {"forward", "forward with argmax", "backward", "interval bounds"}
    finite = {"forward", "backward", "forward + backward"}
    assert rows.keys() == {(math.inf, op) for op in infinite} | {
        (p, op) for p in PRODUCTS + REALS for op in finite
    }
    for (p, op), row in rows.items():
        assert f"| {'∞' if p == math.inf else int(p)} | {op} |" in printed
        assert row["ours"] > 0 and row["reference"] > 0, row
        assert row["cdist"] is None or row["cdist"] > 0, row
        assert (row["roof"] is None) == ((p, op) == (math.inf, "backward")), row
    # torch.cdist takes powers of plain differences: they leave float32 at p = 1000 for sure.
    assert rows[1000, "forward"]["cdist_failure"] == "overflows"
    assert rows[8, "forward"]["cdist"] > 0
    for roof in found["roofs"]:
        assert f"| {roof['name']} |" in printed and min(roof["rates"]) > 0, roof


@pytest.mark.usefixtures("only_full")
def test_no_op_beats_the_roofline(bench):
    """A roof below what the kernels do is no roof: its microkernel would be wrong.

    The roof is the best of its rounds in time that its thread had a core, an op is timed by the
    clock on the wall: other programs can only lower the share.
    """
    size = ("--batch=48", "--in-features=512", "--out-features=256")
    _, found = bench("--quick", "--ours-only", *size)
    shares = {(r["p"], r["op"]): r["share"] for r in found["rows"] if r["share"] is not None}
    assert len(shares) == len(found["rows"]) - 1
    assert max(shares.values()) <= 1.15, {k: v for k, v in shares.items() if v > 1.15}


@pytest.fixture
def benchmarks(monkeypatch) -> None:
    """Scripts of that folder can be imported, as they import each other."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.mark.usefixtures("benchmarks")
def test_figures_that_differ_are_said_one_a_line():
    import agreement

    ours_BK = torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, -1.0]])
    assert agreement.margins_apart("crown", ours_BK, ours_BK + 9e-6, 1e-5) == []
    for planted, words in (
        (2e-5, "apart, more than 1e-05"),
        (float("nan"), "nan there: inf apart"),
    ):
        theirs_BK = ours_BK.clone()
        theirs_BK[1, 2] += planted
        (line,) = agreement.margins_apart("crown", ours_BK, theirs_BK, 1e-5)
        assert (
            line.startswith("crown: the margin of image 1 to class 2 is -1 here") and words in line
        )
    assert agreement.percent_apart("box, correct", 74.0199, 74.02) == []
    (line,) = agreement.percent_apart("box, correct", 74.03, 74.02)
    assert line == "box, correct: 74.03 % here and 74.02 % there: 0.01 apart"


@pytest.mark.usefixtures("benchmarks", "one_thread")
def test_margins_that_differ_from_those_of_auto_lirpa_end_in_an_exit_code(monkeypatch, capsys):
    import auto_lirpa

    def run(planted: float) -> None:
        def theirs(model, x_BCHW, y_B, method):
            margins = auto_lirpa.ours(model, x_BCHW, y_B, "interval")
            add_BK = torch.zeros(len(x_BCHW), 10)
            add_BK[1, 3] = planted
            return lambda: margins() + add_BK

        monkeypatch.setattr(auto_lirpa, "theirs", theirs)
        auto_lirpa.main(["nowhere", "--batch", "2", "--repeats", "1", "--only", "interval"])

    run(0.0)
    with pytest.raises(SystemExit, match="1"):
        run(3e-5)
    out, err = capsys.readouterr()
    assert out.count("interval") == 4  # with all rows of both runs
    assert err.startswith("interval: the margin of image 1 to class 3") and err.count("\n") == 1


@pytest.mark.usefixtures("benchmarks")
def test_released_nets_whose_figures_differ_end_in_an_exit_code(monkeypatch, capsys):
    import released_relaxations as released

    found = {"box": (8868, 7402), "crown": (8495, 5735)}

    def counts(file, architecture, bound, test, size):
        return found[file.stem.split("_")[-1]]

    zeros = torch.zeros(10_000, 1, 1, 1, dtype=torch.uint8), torch.zeros(10_000, dtype=torch.int64)
    test = Pixels("mnist", "test", *zeros, 10, (0.1,), 0.3)
    monkeypatch.setattr(released, "load_data", lambda name, split: test)
    monkeypatch.setattr(released, "counts", counts)
    words = ["nowhere", "--only", *found, "--n"]
    released.main([*words, "10000"])
    assert "nothing compared" not in capsys.readouterr().out
    found["crown"] = (8495, 5736)
    with pytest.raises(SystemExit, match="1"):
        released.main([*words, "10000"])
    assert capsys.readouterr().err == (
        "crown, certified: 57.36 % here and 57.35 % there: 0.01 apart\n"
    )
    released.main([*words, "1000"])  # of other images than theirs
    assert "nothing compared" in capsys.readouterr().out
