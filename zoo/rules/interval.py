"""Interval rule: the image of a box under one layer.

``interval(layer, lower, upper, reading=NAIVE) -> (lower, upper)``: ends of the layer's outputs over
all inputs in [lower, upper]. With the reading `DEPLOYED` they hold what the program computes for
every input of the tensors' dtype, with `REAL` the exact layer's values for every real input, and
with `NAIVE` rounding is ignored (zoo.rounding.readings).

Shapes: tensors have the shape of the layer's input or output.
"""

from __future__ import annotations

from zoo.rounding import Ends
from zoo.rules.dispatch import SEVERAL, Rule

interval: Rule[..., Ends] = Rule("interval", SEVERAL)
