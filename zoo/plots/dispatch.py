"""zoo.plot: one function for all figures; what it is given decides which one it draws."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import UsageError
from zoo.plots.certified import draw_certified
from zoo.plots.training import draw_training, is_run


def plot(*sources: str | Path, path: str | Path = "curves.png") -> Path:
    """Draw certified accuracy (%) against eps (pixel units), or the learning curves of runs.

    Args:
        sources: names of published models, weight folders, or CSV files from zoo certify --out;
            or run folders, finished or not. One line (or colour) a source.
        path: image to write; its suffix decides the format (png, svg, pdf).

    Raises:
        NotFoundError: a source that is not there.
        UsageError: no source, runs among other sources, a CSV of other columns, a run that has
            nothing to draw yet, or a suffix that is no image format.
    """
    others = [source for source in sources if not is_run(source)]
    if len(others) == len(sources):
        return draw_certified(*sources, path=path)
    if others:
        raise UsageError(
            f"{', '.join(map(str, others))}: not a run folder, as the other sources are\n"
            "  runs have learning curves, models and CSV files certified accuracy: plot them apart"
        )
    return draw_training(*sources, path=path)
