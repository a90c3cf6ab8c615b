"""Interval bound: propagate the ends of the box through every layer.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.bounds.base import PropagatedBound, bounds
from zoo.boxes import Box
from zoo.inputs import check_alike
from zoo.propagation import Reach, interval_margins, steps_of
from zoo.rounding import DEPLOYED, REAL, Reading
from zoo.rules import check_certifiable


@bounds.register("interval")
class Interval(PropagatedBound):
    """margins_bk = lower_y - upper_k of the logits' ends (Gowal et al. 2018, arXiv:1810.12715).

    A last layer that is fully connected is elided: it gives no ends, but the least f_y - f_k over
    those of its inputs (zoo.propagation.margins).

    For a distance net each layer's interval is the exact image of the layer's box, so the bound is
    never below the Lipschitz one, and above it where pixels are clipped.

    Sound without slack for the program of a distance net: its operations round monotonically, so
    the same operations on the ends of the box enclose its outputs; for the exact function each end
    moves one unit in the last place outward after every rounded operation. Affine layers, whose
    sums have no fixed order, add the slack of zoo.rounding.sums in both senses, and a library's
    functions that of zoo.rounding.library.
    """

    name = "interval"

    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        return interval_margins(reach, y_B)

    def forms(self, reach: Reach) -> int:
        return 2  # its ends

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return self._rigorous(model, box, y_B, REAL)

    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        # SOUND: the box's dtype stands for the program's below.
        check_alike(model, box.x_BCHW)
        return self._rigorous(model, box, y_B, DEPLOYED)

    def _rigorous(self, model: nn.Module, box: Box, y_B: Tensor, reading: Reading) -> Tensor:
        check_certifiable(model)
        ends = box.lower_BCHW, box.upper_BCHW
        return self.margins(Reach(steps_of(model)[0], ends, reading), y_B)
