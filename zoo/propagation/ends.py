"""Interval propagation: ends of every value that a net makes.

Shapes: tensors have the shape of a value, with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.propagation.steps import Step
from zoo.rounding import NAIVE, Ends, Reading


def interval_ends(steps: Sequence[Step], box: Ends, reading: Reading = NAIVE) -> list[Ends]:
    """Ends of all values, the box's own first (Gowal et al. 2018, arXiv:1810.12715)."""
    ends = [box]
    for step in steps:
        ends.append(step.interval([ends[i] for i in step.inputs], reading))
    return ends
