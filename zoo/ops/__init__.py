"""Ops with native kernels behind a torch reference, which change speed only, never the contract.

Distances are what an l_inf-distance net computes: p = inf is exact (one rounded subtraction, then
a maximum), ties go to the lowest index, NaN in gives NaN out, and memory does not grow with
B * I * O. Lines around ReLUs, and linear forms through them, are where bounds on other nets spend
their time.
"""

from zoo.ops.linf_dist import linf_dist, linf_dist_argmax
from zoo.ops.linf_dist_bounds import linf_dist_bounds
from zoo.ops.linf_dist_sparse import linf_dist_sparse, linf_dist_sparse_bounds
from zoo.ops.lp_dist import lp_dist
from zoo.ops.order_dist_bounds import order_dist_bounds
from zoo.ops.pull_lines import pull_lines
from zoo.ops.relu_lines import relu_chord, relu_offsets
from zoo.ops.sort_dist import order_dist, order_weights, sort_dist

__all__ = [
    "linf_dist",
    "linf_dist_argmax",
    "linf_dist_bounds",
    "linf_dist_sparse",
    "linf_dist_sparse_bounds",
    "lp_dist",
    "order_dist",
    "order_dist_bounds",
    "order_weights",
    "pull_lines",
    "relu_chord",
    "relu_offsets",
    "sort_dist",
]
