"""Architectures, entered in timm's registry by importing this package; a new one is a new file."""

from zoo.models.fold import fold, unfold
from zoo.models.group_sort_mlp import GroupSortMLP
from zoo.models.linf_average import LinfAverage
from zoo.models.linf_dist_mlp import LinfDistMLP
from zoo.models.net import Net
from zoo.models.prune import prune

__all__ = ["GroupSortMLP", "LinfAverage", "LinfDistMLP", "Net", "fold", "prune", "unfold"]
