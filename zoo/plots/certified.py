"""Certified accuracy against eps, for cards and for CSV files of results."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.cards.card import Card
from zoo.cards.index import info
from zoo.eps import parse_eps
from zoo.errors import NotFoundError, UsageError
from zoo.plots.style import colour_of, grid, save


@dataclass(frozen=True)
class _Series:
    label: str
    eps: list[float]
    certified: list[float]
    empirical: list[tuple[float, float]]
    claim: float | None


def draw_certified(*sources: str | Path, path: str | Path = "curves.png") -> Path:
    """Draw certified accuracy (%) against eps (pixel units), one line a source.

    Args:
        sources: names of published models, weight folders, or CSV files from zoo certify --out.
        path: image to write; its suffix decides the format (png, svg, pdf).

    Raises:
        NotFoundError: a source that is not there.
        UsageError: no source, a CSV of other columns, or a suffix that is no image format.
    """
    if not sources:
        raise UsageError("nothing to plot: give a model's name or a CSV file of results")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    lines = [series for source in sources for series in _read(source)]
    for i, series in enumerate(lines):
        colour = colour_of(i)
        axes.plot(series.eps, series.certified, color=colour, label=series.label)
        if series.empirical:
            axes.plot(*zip(*series.empirical, strict=True), "o", color=colour, fillstyle="none")
        if series.claim is not None:
            axes.axvline(series.claim, color=colour, linewidth=0.8, linestyle=":")
    axes.set(xlabel="ε (ℓ∞, pixels in [0, 1])", ylabel="images (%)", ylim=(0, 100))
    axes.set_xlim(left=0)
    levels = axes.secondary_xaxis("top", functions=(_to_levels, _from_levels))
    levels.set_xlabel("ε · 255")
    grid(axes)
    title = "certified accuracy"
    if any(series.empirical for series in lines):
        title += " (line), accuracy under attack (circle)"
    axes.set_title(title, fontsize="medium")
    axes.legend(loc="upper right", fontsize="small")
    return save(figure, path)


def _to_levels(eps: Any) -> Any:
    return eps * 255


def _from_levels(levels: Any) -> Any:
    return levels / 255


def _read(source: str | Path) -> list[_Series]:
    if Path(source).suffix == ".csv":
        return _from_csv(Path(source))
    return [_from_card(info(str(source)))]


def _from_card(card: Card) -> _Series:
    percent = [card.percent(count) for count in card.curve.n_certified]
    attacked = card.empirical_acc
    return _Series(
        label=card.name,
        eps=[float(eps) for eps in card.curve.eps],
        certified=percent,
        empirical=[] if attacked is None else [(float(card.eps), attacked)],
        claim=float(card.eps),
    )


def _from_csv(path: Path) -> list[_Series]:
    if not path.is_file():
        raise NotFoundError(f"no file {path}\n  zoo certify NAME --eps 0:0.2:41 --out {path}")
    series: dict[tuple[str, str], _Series] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = (row["model"], row["bound"])
                label = f"{row['model']}, {row['bound']}"
                line = series.setdefault(key, _Series(label, [], [], [], None))
                eps = float(parse_eps(row["eps"]))
                line.eps.append(eps)
                line.certified.append(float(row["certified_acc"]))
                if row["empirical_acc"]:
                    line.empirical.append((eps, float(row["empirical_acc"])))
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is no table of zoo certify --out: {error}") from None
    if not series:
        raise UsageError(f"{path} has no rows to draw")
    return list(series.values())
