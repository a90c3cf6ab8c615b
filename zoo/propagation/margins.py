"""Margins by intervals: lower bounds of f_y - f_k over a box, the last layer elided.

Shapes: B batch, K classes; other tensors have the shape of a value, with the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from zoo.errors import ZooError
from zoo.propagation.ends import interval_ends
from zoo.propagation.steps import Step
from zoo.rounding import NAIVE, Ends, Reading


def interval_margins(
    steps: Sequence[Step], box: Ends, y_B: Tensor, reading: Reading = NAIVE
) -> Tensor:
    """Lower bounds of f_y(x) - f_k(x) over all x in the box, (B, K), column y 0.

    Where the last layer is fully connected, its difference f_y - f_k is bounded as one affine
    function (Gowal et al. 2018, arXiv:1810.12715): never less than lower_y - upper_k, which is what
    all other nets get, as the least f_y and the largest f_k may belong to different inputs.

    `DEPLOYED` speaks of the logits that the program computes, `REAL` of the exact ones.

    Raises:
        ZooError: ends that cross.
        UsageError: a layer without an interval rule.
    """
    _check_order(box)
    last = steps[-1].affine if steps else None
    if last is not None and last.fully_connected:
        ends = interval_ends(steps[:-1], box, reading)[steps[-1].inputs[0]]
        _check_order(ends)
        margins_BK = reading.elided(last, *ends, y_B)
    else:
        lower_BK, upper_BK = interval_ends(steps, box, reading)[-1]
        _check_order((lower_BK, upper_BK))
        # SOUND: a - b > 0 in floating point if and only if a > b, as subnormals are kept.
        margins_BK = lower_BK.gather(1, y_B[:, None]) - upper_BK
    return margins_BK.scatter(1, y_B[:, None], 0.0)


def _check_order(ends: Ends) -> None:
    # SOUND: ends that cross are a bug somewhere below, and are never repaired. NaN passes on, and
    # certifies nothing.
    if bool((ends[0] > ends[1]).any()):
        raise ZooError("bound interval: a lower end above its upper end; no verdict can be trusted")
