"""How certificates pass through a layer: one function a question, one rule a layer type.

Bounds walk a model by calling these functions; a layer registers its rules beside its class (those
of torch's own layers lie here). A layer without a rule is refused by name: nothing is ever passed
over.
"""

import zoo.rules.activations
import zoo.rules.affine  # noqa: F401  (these two enter the rules of torch's layers)
from zoo.rules.describe import describe
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval
from zoo.rules.margins import elided, margins
from zoo.rules.obstacle import check_certifiable, obstacle

__all__ = [
    "Rounded",
    "check_certifiable",
    "describe",
    "elided",
    "forward_error",
    "interval",
    "margins",
    "obstacle",
]
