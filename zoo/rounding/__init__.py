"""Rounding: what floating-point arithmetic may do to a bound, and what covers it.

Everything here is a function of a dtype's unit roundoff, so that it holds for float16 as for
float64; bounds use it, and none of it knows a layer or a net.
"""

from zoo.rounding.affine import Affine
from zoo.rounding.backward import Ledger, NoLedger
from zoo.rounding.directed import Ends, cast_down, cast_up, largest, mid_rad, next_down, next_up
from zoo.rounding.library import library_error
from zoo.rounding.ordered import ordered_error, ordered_slack
from zoo.rounding.readings import DEPLOYED, NAIVE, REAL, Reading
from zoo.rounding.rows import contracted, row_norms
from zoo.rounding.strict import snapshot, strict_numerics
from zoo.rounding.sums import deployed_error, deployed_slack, real_slack
from zoo.rounding.unit import FLUSH, smallest_normal, unit_roundoff
from zoo.rounding.zonotope import BoxPart, NewSymbols, Remainder, Zonotope

__all__ = [
    "DEPLOYED",
    "FLUSH",
    "NAIVE",
    "REAL",
    "Affine",
    "BoxPart",
    "Ends",
    "Ledger",
    "NewSymbols",
    "NoLedger",
    "Reading",
    "Remainder",
    "Zonotope",
    "cast_down",
    "cast_up",
    "contracted",
    "deployed_error",
    "deployed_slack",
    "largest",
    "library_error",
    "mid_rad",
    "next_down",
    "next_up",
    "ordered_error",
    "ordered_slack",
    "real_slack",
    "row_norms",
    "smallest_normal",
    "snapshot",
    "strict_numerics",
    "unit_roundoff",
]
