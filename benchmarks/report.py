"""What the benchmark prints: the machine, the table and the roofline, in Markdown."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from contestants import GRADIENT, Row
from roofline import PORTS, Roofline

IDLE = 0.5  # load average, above which something else runs

_NOTES = f"""
- One pair is one (b, o, i) triple; Gpair/s are 10⁹ of them a second, by medians of wall time.
- \\* few rounds, as a call takes over a second.
- "overflows", "wrong": what torch.cdist returns in float32, so not timed; —: it has no such part.
- roof: what ours reaches of the arithmetic below, which the op needs of every pair. Real powers
  from p = 32 on: of the search for maxima alone. The ℓ∞ backward touches one coordinate of a pair.
- Backward: upstream gradients {GRADIENT:g} · N(0, 1). Real powers from p = 32 on: ours leaves out
  entries with |grad| · ratio^(p-1) < 1e-12.
- MiB: peak of resident memory during ours above what was resident before, results included.
"""


def machine() -> dict[str, Any]:
    """Where and when this runs."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python", "benchmarks/ops.py", *sys.argv[1:]]),
    }


def print_head(machine: dict[str, Any], size: Sequence[int], args: argparse.Namespace) -> None:
    batch, in_features, out_features = size
    print(f"`{machine['command']}`\n")
    print(
        f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores, "
        f"{machine['kernels']}; torch {machine['torch']}; {machine['date']}\n"
    )
    print(
        f"B = {batch}, I = {in_features}, O = {out_features}, float32, "
        f"medians of {args.rounds} interleaved rounds; load before: {machine['load']:.2f}\n"
    )
    if machine["load"] > IDLE:
        print("**Not an idle machine: these figures are of no use.**\n")


def line(
    row: Row, timings: dict[str, Any], roofline: Roofline, peak: float | None, pairs: int
) -> dict[str, Any]:
    """A row's figures: rates in pairs per second."""
    rates = {name: pairs / t.median for name, t in timings.items() if t.median}
    roof = _roof(row, roofline)
    return {
        "p": row.p,
        "op": row.op,
        "ours": rates["ours"],
        "cdist": rates.get("cdist"),
        "reference": rates.get("reference"),
        "cdist_failure": timings["cdist"].failure if "cdist" in timings else None,
        "over_cdist": rates["ours"] / rates["cdist"] if "cdist" in rates else None,
        "over_reference": rates["ours"] / rates["reference"] if "reference" in rates else None,
        "roof": roof,
        "share": rates["ours"] / roof if roof else None,
        "peak_mib": peak,
        "few_rounds": [name for name, t in timings.items() if 0 < t.rounds < _most(timings)],
    }


def _most(timings: dict[str, Any]) -> int:
    return max(timing.rounds for timing in timings.values())


def _roof(row: Row, roofline: Roofline) -> float | None:
    """Pairs per second, if each kind of arithmetic that the op needs ran at its best."""
    if not row.roofs:
        return None
    return 1 / sum(1 / roofline.roof(kind, row.p).rate for kind in row.roofs)


def print_rows(lines: Sequence[dict[str, Any]]) -> None:
    cells = []
    for of in lines:

        def rate(name: str, of: dict[str, Any] = of) -> str:
            star = "\\*" if name in of["few_rounds"] else ""
            return f"{_figure(of[name], 1e9)}{star}"

        cells.append(
            [
                "∞" if of["p"] == float("inf") else f"{of['p']:g}",
                of["op"],
                rate("ours"),
                of["cdist_failure"] or rate("cdist"),
                rate("reference"),
                f"{_figure(of['over_cdist'])}",
                f"{_figure(of['over_reference'])}",
                f"{100 * of['share']:.0f} %" if of["share"] else "—",
                "—" if of["peak_mib"] is None else f"{of['peak_mib']:.1f}",
            ]
        )
    heads = ["p", "op", "ours Gpair/s", "cdist Gpair/s", "chunked torch Gpair/s"]
    heads += ["over cdist", "over chunked torch", "roof", "MiB"]
    _print_table(heads, cells)
    print(_NOTES)


def print_roofs(roofline: Roofline) -> None:
    print(
        "Roofline, measured in the same rounds, in registers. Bound: "
        f"{PORTS} vector ports x lanes x clock / instructions.\n"
    )
    cells = [
        [
            roof.name,
            str(roof.instructions or "—"),
            _figure(roof.rate, 1e9),
            _figure(roof.clock, 1e9),
            _figure(roof.bound, 1e9),
            f"{100 * roof.rate / roof.bound:.0f} %" if roof.bound else "—",
        ]
        for roof in roofline.roofs.values()
    ]
    _print_table(
        ["of each pair", "instructions", "Gpair/s", "GHz", "bound Gpair/s", "reached"], cells
    )
    got = statistics.median(s for roof in roofline.roofs.values() for s in roof.cpu_shares)
    print(f"\nThe cores were ours {100 * got:.0f} % of the time.")
    if got < 0.95:
        print("**Something else ran: these figures are of no use.**")


def _figure(value: float | None, unit: float = 1.0) -> str:
    if value is None:
        return "—"
    scaled = value / unit
    return f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.3g}"


def _print_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    words = 2 if heads[1] == "op" else 1  # first columns that hold words
    print("| " + " | ".join(heads) + " |")
    print("|" + "|".join("---" if k < words else "--:" for k in range(len(heads))) + "|")
    for row in cells:
        print("| " + " | ".join(row) + " |")
