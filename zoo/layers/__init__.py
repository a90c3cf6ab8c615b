"""Layers of certifiable nets, each followed by its rules (see zoo.rules)."""

from zoo.layers.exponent import exponent, set_exponent
from zoo.layers.lp_dist import LpDist, LpDistConv2d, LpDistLinear
from zoo.layers.mean_shift import MeanShift
from zoo.layers.negate import Negate
from zoo.layers.normalize import Normalize
from zoo.layers.pruned import PrunedLinfDistLinear
from zoo.layers.scaled_linear import ScaledLinear
from zoo.layers.sort_dist import SortDistLinear

__all__ = [
    "LpDist",
    "LpDistConv2d",
    "LpDistLinear",
    "MeanShift",
    "Negate",
    "Normalize",
    "PrunedLinfDistLinear",
    "ScaledLinear",
    "SortDistLinear",
    "exponent",
    "set_exponent",
]
