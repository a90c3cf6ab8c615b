"""Layers of certifiable nets, each followed by its rules (see zoo.rules)."""

from zoo.layers.average import Average
from zoo.layers.channels import Channels
from zoo.layers.concat import Concat
from zoo.layers.crops import CenterCrop, Crops, Join
from zoo.layers.exponent import exponent, set_exponent
from zoo.layers.flip import Flip
from zoo.layers.half import HalfDifference, HalfSum
from zoo.layers.linf_linear import LinfLinear
from zoo.layers.local_extreme import LocalMax, LocalMin
from zoo.layers.lp_dist import LpDist, LpDistConv2d, LpDistLinear
from zoo.layers.max_min import MaxMin
from zoo.layers.mean_shift import MeanShift
from zoo.layers.negate import Negate
from zoo.layers.normalize import Normalize
from zoo.layers.pruned import PrunedLinfDistLinear
from zoo.layers.residual import Add, Residual
from zoo.layers.scaled_linear import ScaledLinear
from zoo.layers.shift import Shift
from zoo.layers.sort_dist import SortDistLinear

__all__ = [
    "Add",
    "Average",
    "CenterCrop",
    "Channels",
    "Concat",
    "Crops",
    "Flip",
    "HalfDifference",
    "HalfSum",
    "Join",
    "LinfLinear",
    "LocalMax",
    "LocalMin",
    "LpDist",
    "LpDistConv2d",
    "LpDistLinear",
    "MaxMin",
    "MeanShift",
    "Negate",
    "Normalize",
    "PrunedLinfDistLinear",
    "Residual",
    "ScaledLinear",
    "Shift",
    "SortDistLinear",
    "exponent",
    "set_exponent",
]
