"""Times the ops against torch.cdist, the torch reference and the CPU's roofline: one table.

python benchmarks/ops.py [--batch 128 --in-features 1024 --out-features 1024 --rounds 11]

What it measures, and how: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import memory
import report
import torch
from contestants import Call, Operands, Row, all_rows, failure
from roofline import Roofline

from zoo.errors import ZooError
from zoo.ops import native

LONG = 1.0  # seconds a call, beyond which it runs fewer rounds
LONG_ROUNDS = 3
TURN = 0.02  # seconds that a turn goes on calling: one short call would pay for waking the threads


@dataclass
class Timing:
    """What a contestant needed for a row."""

    rounds: int
    calls: int  # in a turn
    seconds: list[float] = field(default_factory=list)  # of a call, a turn each
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--in-features", type=int)
    parser.add_argument("--out-features", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--ours-only", action="store_true", help="no cdist, no torch reference")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it work at all?")
    parser.add_argument("--json", type=Path, help="also write all measurements to this file")
    args = parser.parse_args()
    defaults = {"batch": 128, "in_features": 1024, "out_features": 1024, "rounds": 11}
    if args.quick:
        defaults = {"batch": 16, "in_features": 128, "out_features": 128, "rounds": 3}
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
        elif getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if args.threads < 1:
        parser.error("--threads must be at least 1")
    return args


def time_calls(call: Call, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def prepare(
    row: Row, operands: Operands, args: argparse.Namespace
) -> dict[str, tuple[Call, Timing]]:
    """Each contestant's call and timing, after one call that warms up and is checked."""
    ours = operands.ours(row)
    calls = {"ours": ours}
    if not args.ours_only:
        calls["reference"] = operands.reference(row)
        if (cdist := operands.cdist(row)) is not None:
            calls["cdist"] = cdist
    expected = ours()
    contestants = {}
    for name, call in calls.items():
        start = time.perf_counter()
        result = call()
        taken = time.perf_counter() - start
        rounds = min(LONG_ROUNDS, args.rounds) if taken > LONG else args.rounds
        calls_a_turn = 1 if args.quick else max(1, min(20, round(TURN / taken)))
        wrong = failure(result, expected)
        if wrong and name != "cdist":
            raise ZooError(f"{row}: {name} {wrong}")
        contestants[name] = call, Timing(rounds, calls_a_turn, failure=wrong)
    return contestants


def run_row(
    row: Row, operands: Operands, roofline: Roofline, args: argparse.Namespace
) -> dict[str, Timing]:
    """Rounds in which everyone has one turn, the roofline too: drift hits all alike."""
    contestants = prepare(row, operands, args)
    for round_ in range(args.rounds):
        for call, timing in contestants.values():
            if round_ < timing.rounds and timing.failure is None:
                timing.seconds.append(time_calls(call, timing.calls))
        for kind in row.roofs:
            roofline.measure(kind, row.p)
    return {name: timing for name, (_, timing) in contestants.items()}


def main() -> None:
    machine = report.machine()  # first of all, as this program is a load itself
    args = arguments()
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)  # fail before the work, not after
    rows = all_rows()
    size = (args.batch, args.in_features, args.out_features)
    peaks = memory.peaks(rows, size, args.threads)  # before anything starts a thread here
    torch.set_num_threads(args.threads)
    if not native.load():
        sys.exit(f"nothing to measure: {native.describe()}")
    machine |= {"kernels": native.describe(), "threads": args.threads}
    report.print_head(machine, size, args)
    roofline = Roofline(args.threads, seconds=0.002 if args.quick else 0.02)
    operands = Operands(*size)
    timings = []
    for k, row in enumerate(rows):
        if sys.stderr.isatty():
            print(f"\r{k + 1}/{len(rows)} {row}\033[K", end="", file=sys.stderr, flush=True)
        timings.append(run_row(row, operands, roofline, args))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    pairs = args.batch * args.in_features * args.out_features
    lines = [
        report.line(row, timing, roofline, peak, pairs)
        for row, timing, peak in zip(rows, timings, peaks, strict=True)
    ]
    report.print_rows(lines)
    report.print_roofs(roofline)
    if args.json:
        roofs = [asdict(roof) | {"bound": roof.bound} for roof in roofline.roofs.values()]
        results = [
            line | {"timings": {name: asdict(timing) for name, timing in timing_of.items()}}
            for line, timing_of in zip(lines, timings, strict=True)
        ]
        content = {"machine": machine, "size": size, "rows": results, "roofs": roofs}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
