"""Certified accuracy for a given time on one CPU core: width, epochs, batch size and p schedule.

    python docs/studies/budget.py    # trains them all, writes budget.csv and budget.png

Every row of a group was given about the same time; `seconds` is what it took.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from trials import HERE, Trial, markdown, measured, write_csv

from zoo.plots.style import colour_of, grid, save

STUDY = "budget"
EXPONENTIAL = {"name": "exponential", "start": 8, "end": 1000, "then": "inf"}
EXPONENTIAL |= {"begin": 0.055, "until": 0.889}


def trial(group: str, width: int, epochs: int, batch: int = 64, **changes: object) -> Trial:
    """A trial of a group; changes are dotted keys with __ for the dot, and a `note`."""
    note = str(changes.pop("note", "staircase"))
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    overrides |= {"model.width": width, "epochs": epochs, "batch_size": batch}
    says = {"group": group, "width": width, "batch": batch, "p": note}
    name = f"{group}-w{width}-b{batch}-{note}".replace(" ", "_")
    return Trial(name, overrides, says)


TRIALS = [
    trial("width", 64, 40),
    trial("width", 128, 28),
    trial("width", 256, 16),
    trial("width", 512, 6),
    trial("batch", 256, 25, 512),
    trial("batch", 256, 19, 128),
    trial("batch", 256, 11, 32),
    trial("p", 256, 8, note="exponential", schedules__p=EXPONENTIAL),
    trial("p", 256, 16, note="from 24", schedules__p__start=24),
    trial("p", 256, 16, note="later", schedules__p__begin=0.2),
    trial("time", 256, 4),
    trial("time", 256, 64),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/studies") / STUDY)
    arguments = parser.parse_args()
    rows = [measured(each, each.run(STUDY, arguments.runs)) for each in TRIALS]
    write_csv(HERE / f"{STUDY}.csv", rows)
    draw(rows)
    print(markdown(rows))


def draw(rows: list[dict]) -> None:
    """Certified accuracy of each trial, on images it was trained on and on others."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for i, split in enumerate(("train", "validation")):
        heights = [row[f"{split}_certified"] for row in rows]
        axes.plot(heights, "o", color=colour_of(i), label=split)
    axes.set_xticks(range(len(rows)), [row["trial"] for row in rows], rotation=60, ha="right")
    axes.set(ylabel="certified at eps 0.3, %")
    axes.legend()
    grid(axes)
    save(figure, HERE / f"{STUDY}.png")


if __name__ == "__main__":
    main()
