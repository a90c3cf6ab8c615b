"""Layers of certifiable nets, each followed by its rules (see zoo.rules)."""

from zoo.layers.exponent import exponent, set_exponent
from zoo.layers.linf_linear import LinfLinear
from zoo.layers.lp_dist import LpDist, LpDistConv2d, LpDistLinear
from zoo.layers.max_min import MaxMin
from zoo.layers.mean_shift import MeanShift
from zoo.layers.negate import Negate
from zoo.layers.normalize import Normalize
from zoo.layers.pruned import PrunedLinfDistLinear

__all__ = [
    "LinfLinear",
    "LpDist",
    "LpDistConv2d",
    "LpDistLinear",
    "MaxMin",
    "MeanShift",
    "Negate",
    "Normalize",
    "PrunedLinfDistLinear",
    "exponent",
    "set_exponent",
]
