"""Figures: certified accuracy of models, learning curves of runs. No torch here.

certified.py and training.py draw one kind each, dispatch.py tells which kind the sources ask for.
"""

from zoo.plots.certified import draw_certified
from zoo.plots.dispatch import plot
from zoo.plots.training import draw_training, is_run

__all__ = ["draw_certified", "draw_training", "is_run", "plot"]
