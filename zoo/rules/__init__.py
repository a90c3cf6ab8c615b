"""How certificates pass through a layer: one function a question, one rule a layer type.

Bounds walk a model by calling these functions; a layer registers its rules beside its class. A
layer without a rule is refused by name: nothing is ever passed over.
"""

from zoo.rules.forward_error import Rounded, forward_error, unit_roundoff
from zoo.rules.interval import exact, interval, outward
from zoo.rules.obstacle import check_certifiable, obstacle

__all__ = [
    "Rounded",
    "check_certifiable",
    "exact",
    "forward_error",
    "interval",
    "obstacle",
    "outward",
    "unit_roundoff",
]
