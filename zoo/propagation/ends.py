"""Interval propagation: ends of every value that a net makes.

Shapes: tensors have the shape of a value, with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.inputs import fitting
from zoo.propagation.steps import Step
from zoo.rounding import NAIVE, Ends, Reading


def interval_ends(steps: Sequence[Step], box: Ends, reading: Reading = NAIVE) -> list[Ends]:
    """Ends of all values, the box's own first (Gowal et al. 2018, arXiv:1810.12715).

    Raises:
        UsageError: images that do not fit a layer, or a layer without an interval rule.
    """
    ends = [box]
    for step in steps:
        taken = [ends[i] for i in step.inputs]
        with fitting(step.layer, [lower for lower, _ in taken], box[0]):
            ends.append(step.interval(taken, reading))
    return ends
