"""The benchmark of the ops runs, has all its rows, and nothing in it beats the CPU."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
