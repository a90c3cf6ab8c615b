"""Bounds: lower bounds on a model's margins over a box. A recipe names one; adding one = a file."""

from zoo.bounds.base import Bound, Margins, PropagatedBound, bounds
from zoo.bounds.create import create_bound

__all__ = ["Bound", "Margins", "PropagatedBound", "bounds", "create_bound"]
