"""Propagation: how bounds go through a net, forwards and backwards, each scheme once.

A net is first taken apart into steps (zoo.propagation.steps); schemes go along them, and know
layers by their rules alone (zoo.rules).
"""

from zoo.propagation.backward import (
    Source,
    lower_bounds,
    margins_by_rows,
    spread_margins,
    tightened_ends,
)
from zoo.propagation.drift import program_errors
from zoo.propagation.ends import interval_ends
from zoo.propagation.margins import interval_margins, margin_ends, margin_rows
from zoo.propagation.reach import Reach
from zoo.propagation.steps import Step, run, steps_of, takes_batch_statistics
from zoo.propagation.zonotope import symbol_entries, zonotope_bounds, zonotopes

__all__ = [
    "Reach",
    "Source",
    "Step",
    "interval_ends",
    "interval_margins",
    "lower_bounds",
    "margin_ends",
    "margin_rows",
    "margins_by_rows",
    "program_errors",
    "run",
    "spread_margins",
    "steps_of",
    "symbol_entries",
    "takes_batch_statistics",
    "tightened_ends",
    "zonotope_bounds",
    "zonotopes",
]
