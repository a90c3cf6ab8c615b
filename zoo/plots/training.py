"""Learning curves of run folders: validation accuracy and training loss, as far as they got."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from zoo.cards.index import read_index
from zoo.errors import NotFoundError, UsageError
from zoo.plots.style import colour_of, grid, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILES = ("recipe.yaml", "log.jsonl")
_TITLES = {"epoch": "epoch", "minutes": "minutes of training"}


@dataclass(frozen=True)
class _Epoch:
    """A line of the log; `looked` is None in epochs that did not look at the validation split."""

    epoch: float
    minutes: float
    loss: float
    looked: tuple[float, float] | None  # clean and certified accuracy in percent


@dataclass(frozen=True)
class _Curve:
    label: str
    epochs: list[_Epoch]


def is_run(source: str | Path) -> bool:
    """Whether a source is a run folder, finished or not."""
    # As everywhere, the working directory must not decide what a published name means.
    return str(source) not in read_index() and all((Path(source) / f).is_file() for f in _FILES)


def draw_training(
    *runs: str | Path, path: str | Path = "curves.png", x: Literal["epoch", "minutes"] = "epoch"
) -> Path:
    """Draw validation accuracy (%) and training loss of runs, one colour a run.

    Args:
        runs: run folders; those that still train, or broke off, are drawn as far as they got.
        path: image to write; its suffix decides the format (png, svg, pdf).
        x: against epochs, or against minutes of training.

    Raises:
        NotFoundError: a folder that is no run.
        UsageError: no run, another x, a damaged recipe or log, a run that has not looked at its
            validation split yet, or a suffix that is no image format.
    """
    return save(training_figure(*runs, x=x), path)


def training_figure(*runs: str | Path, x: Literal["epoch", "minutes"] = "epoch") -> Figure:
    """The figure that `draw_training` writes; its arguments and errors."""
    if not runs:
        raise UsageError("nothing to plot: give a run folder")
    if x not in _TITLES:
        raise UsageError(f"x is {x!r}\n  give one of {', '.join(_TITLES)}")
    curves = _read(runs)
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for i, curve in enumerate(curves):
        colour, rows = colour_of(i), curve.epochs
        looks = [(getattr(row, x), *row.looked) for row in rows if row.looked is not None]
        at, clean, certified = zip(*looks, strict=True)
        _line(upper, at, certified, color=colour, label=curve.label)
        _line(upper, at, clean, color=colour, linestyle="--")
        _line(lower, [getattr(row, x) for row in rows], [row.loss for row in rows], color=colour)
    upper.set(ylabel="validation images (%)", ylim=(0, 100))
    upper.set_title("certified (line) and clean (dashed) accuracy", fontsize="medium")
    upper.legend(fontsize="small")
    lower.set(xlabel=_TITLES[x], ylabel="training loss")
    lower.set_xlim(left=0)
    if any(0 < row.loss < math.inf for curve in curves for row in curve.epochs):
        lower.set_yscale("log")  # which cannot be drawn without any such value
    if x == "epoch":
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(upper)
    grid(lower)
    return figure


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], **style: Any) -> None:
    """A curve; a single point, which no line would show, as a dot."""
    axes.plot(x, y, marker="." if len(x) == 1 else None, linewidth=1.2, **style)


def _read(runs: Sequence[str | Path]) -> list[_Curve]:
    folders = [Path(run) for run in runs]
    labels = _labels(folders)
    return [_Curve(label, _log(folder)) for label, folder in zip(labels, folders, strict=True)]


def _labels(folders: Sequence[Path]) -> list[str]:
    """The recipe's name; with the seed where two share it, with the folder where that too."""
    recipes = [_recipe(folder) for folder in folders]
    labels = [str(recipe["name"]) for recipe in recipes]
    seeds = [f" seed {recipe['seed']}" for recipe in recipes]
    for more in (seeds, [f" ({folder})" for folder in folders]):
        count = Counter(labels)
        labels = [
            label + extra if count[label] > 1 else label
            for label, extra in zip(labels, more, strict=True)
        ]
    return labels


def _recipe(folder: Path) -> dict[str, Any]:
    """Content of recipe.yaml: unchecked, as runs of older recipes can be drawn too."""
    file = _file(folder, "recipe.yaml")
    try:
        recipe = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file} is not YAML: {error}") from None
    if not isinstance(recipe, dict) or not {"name", "seed"} <= recipe.keys():
        raise UsageError(f"{file} is not the recipe of a run: it says no name and seed")
    return recipe


def _log(folder: Path) -> list[_Epoch]:
    """Lines of log.jsonl."""
    file = _file(folder, "log.jsonl")
    lines = file.read_bytes().splitlines()
    epochs: list[_Epoch] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):  # a run that was killed may leave half a line
                break
            raise UsageError(f"{file} is damaged: line {number} is not JSON: {error}") from None
        try:
            epochs.append(_epoch(row))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{file} is no log of a run: line {number}: {error!r}") from None
    if all(row.looked is None for row in epochs):
        raise UsageError(
            f"nothing to draw yet: {file} has no epoch that looked at the validation split\n"
            "  runs do so every evaluate_every epochs, a setting of their recipe"
        )
    return epochs


def _epoch(row: dict[str, Any]) -> _Epoch:
    looked = "val_acc" in row or "val_cert" in row
    return _Epoch(
        epoch=float(row["epoch"]),
        minutes=float(row["seconds"]) / 60,
        loss=float(row["loss"]),
        looked=(float(row["val_acc"]), float(row["val_cert"])) if looked else None,
    )


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise NotFoundError(
            f"{folder} is not a run folder: it has no {name}\n"
            "  make one with: zoo train RECIPE --out RUN"
        )
    return folder / name
