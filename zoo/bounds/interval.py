"""Interval bound: propagate the ends of the box through every layer.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from zoo.bounds.base import Bound, bounds
from zoo.boxes import Box
from zoo.rounding import DEPLOYED, NAIVE, REAL, Reading
from zoo.rules import check_certifiable, margins


@bounds.register("interval")
class Interval(Bound):
    """margins_bk = lower_y - upper_k of the logits' ends (Gowal et al. 2018, arXiv:1810.12715).

    A last layer that is fully connected is elided: it gives no ends, but the least f_y - f_k over
    those of its inputs (zoo.rules.margins).

    For a distance net each layer's interval is the exact image of the layer's box, so the bound is
    never below the Lipschitz one, and above it where pixels are clipped.

    Sound without slack for the program of a distance net: its operations round monotonically, so
    the same operations on the ends of the box enclose its outputs; for the exact function each end
    moves one unit in the last place outward after every rounded operation. Affine layers, whose
    sums have no fixed order, add the slack of zoo.rounding.sums in both senses, and a library's
    functions that of zoo.rounding.library.
    """

    name: ClassVar[str] = "interval"

    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return _margins(model, box, y_B, NAIVE)

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return _margins(model, box, y_B, REAL)

    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return _margins(model, box, y_B, DEPLOYED)


def _margins(model: nn.Module, box: Box, y_B: Tensor, reading: Reading) -> Tensor:
    check_certifiable(model)
    return margins(model, box.lower_BCHW, box.upper_BCHW, y_B, reading)
