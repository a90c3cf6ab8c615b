"""How certificates pass through a layer: one function a question, one rule a layer type.

Bounds walk a model by calling these functions; a layer registers its rules beside its class (those
of torch's own layers lie here). A layer without a rule is refused by name: nothing is ever passed
over.
"""

import zoo.rules.activations
import zoo.rules.torch_affine  # noqa: F401  (these two enter the rules of torch's layers)
from zoo.rules.affine import affine, affine_error, enter_affine
from zoo.rules.describe import describe
from zoo.rules.drift import affine_drift, drift
from zoo.rules.enclose import enclose
from zoo.rules.expand import enter_expand, expand
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval
from zoo.rules.max_pool import largest_entries
from zoo.rules.obstacle import check_certifiable, obstacle
from zoo.rules.picks import Picks, enter_picks
from zoo.rules.pull import Pulled, pull, pull_affine
from zoo.rules.shaped import enter_shaped, shaped

__all__ = [
    "Picks",
    "Pulled",
    "Rounded",
    "affine",
    "affine_drift",
    "affine_error",
    "check_certifiable",
    "describe",
    "drift",
    "enclose",
    "enter_affine",
    "enter_expand",
    "enter_picks",
    "enter_shaped",
    "expand",
    "forward_error",
    "interval",
    "largest_entries",
    "obstacle",
    "pull",
    "pull_affine",
    "shaped",
]
