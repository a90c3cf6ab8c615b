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
from zoo.propagation.margins import interval_margins
from zoo.propagation.steps import Step, steps_of
from zoo.propagation.zonotope import symbol_entries, zonotope_bounds, zonotopes

__all__ = [
    "Source",
    "Step",
    "interval_ends",
    "interval_margins",
    "lower_bounds",
    "margins_by_rows",
    "program_errors",
    "spread_margins",
    "steps_of",
    "symbol_entries",
    "tightened_ends",
    "zonotope_bounds",
    "zonotopes",
]
