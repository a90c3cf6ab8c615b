"""What both studies share: trials that are trained once, and a table of what they gave."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.data.load import load_data
from zoo.recipes import load_recipe
from zoo.runs import trained_net
from zoo.training import RunFolder, run_training
from zoo.training.select import validate
from zoo.training.trainer import Watch

HERE = Path(__file__).parent
_SEEN = 10_000  # of the training images, for the gap between what was seen and what was not


@dataclass(frozen=True)
class Trial:
    """One training run of a study.

    Attributes:
        name: of its run folder, and of its rows.
        overrides: what it changes in the study's recipe.
        says: its own columns of the table.
    """

    name: str
    overrides: Mapping[str, Any]
    says: Mapping[str, Any] = field(default_factory=dict)

    def run(self, study: str, out: Path, watch: Watch | None = None) -> RunFolder:
        """Train it, or go on with it, or do nothing where it is finished."""
        recipe = load_recipe(HERE / f"{study}.yaml", self.overrides)
        return run_training(recipe, out=out / self.name, resume=True, watch=watch)


def measured(trial: Trial, run: RunFolder) -> dict[str, Any]:
    """A row: certified and clean accuracy of the kept net on validation and on training images."""
    summary = json.loads((run.path / "run.json").read_text())
    row: dict[str, Any] = {"trial": trial.name, **trial.says, "seed": run.recipe.seed}
    row |= {"epochs": run.recipe.epochs, "seconds": round(summary["seconds"])}
    for split in "validation", "train":
        images = load_data(run.recipe.data, split).take(_SEEN)
        clean, certified = validate(trained_net(run, images), images, run.recipe)
        row |= {f"{split}_clean": round(clean, 2), f"{split}_certified": round(certified, 2)}
    return row


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows, whole."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[key]) for key in head] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
