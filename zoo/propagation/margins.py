"""Margins by intervals: bounds of f_y - f_k over a box, the last layer elided.

Shapes: B batch, K classes; other tensors have the shape of a value, with the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.inputs import check_labels
from zoo.propagation.backward import margins_by_rows
from zoo.propagation.reach import Reach
from zoo.rounding import NAIVE, Ends, next_down


def interval_margins(reach: Reach, y_B: Tensor) -> Tensor:
    """Lower bounds of f_y(x) - f_k(x) over all x in the box, (B, K), column y 0.

    Where the last layer is fully connected, its difference f_y - f_k is bounded as one affine
    function (Gowal et al. 2018, arXiv:1810.12715): never less than lower_y - upper_k, which is what
    all other nets get, as the least f_y and the largest f_k may belong to different inputs.

    Read as `DEPLOYED`, margins are those of the logits that the program computes, as `REAL` those
    of the exact ones.

    Raises:
        ZooError: ends that cross.
        UsageError: a layer without an interval rule, logits or labels that margins are not made of.
    """
    _check_order(reach.box)
    logits = reach.ends[-1]
    check_labels(y_B, reach.box[0], reach.num_classes)
    if reach.last is not None:
        ends = reach.ends[reach.steps[-1].inputs[0]]
        _check_order(ends)
        margins_BK = reach.reading.elided(reach.last, *ends, y_B)
    else:
        _check_order(logits)
        lower_BK, upper_BK = logits
        # SOUND: a - b > 0 in floating point if and only if a > b, as subnormals are kept.
        margins_BK = lower_BK.gather(1, y_B[:, None]) - upper_BK
        if reach.rigorous:
            # SOUND: where a difference is rounded, which none is below the normal range.
            rounded_BK = margins_BK.abs() > torch.finfo(margins_BK.dtype).tiny
            margins_BK = torch.where(rounded_BK, next_down(margins_BK), margins_BK)
    return margins_BK.scatter(1, y_B[:, None], 0.0)


def margin_ends(reach: Reach, y_B: Tensor) -> Ends:
    """Both ends of f_y(x) - f_k(x) in the same way, rounding ignored; column y 0."""
    assert not reach.rigorous
    low_BK, high_BK = reach.ends[-1]
    check_labels(y_B, reach.box[0], reach.num_classes)
    if reach.last is not None:
        differences = reach.last.differences(y_B)
        lower_BK, upper_BK = NAIVE.affine(differences, *reach.ends[reach.steps[-1].inputs[0]])
    else:
        own_low_B1, own_high_B1 = (end.gather(1, y_B[:, None]) for end in (low_BK, high_BK))
        lower_BK, upper_BK = own_low_B1 - high_BK, own_high_B1 - low_BK
    return lower_BK.scatter(1, y_B[:, None], 0.0), upper_BK.scatter(1, y_B[:, None], 0.0)


def margin_rows(reach: Reach, y_B: Tensor) -> Tensor:
    """Rows e_y - e_k over the logits for all k but y, in order: (B, K - 1, K).

    Raises:
        UsageError: logits or labels that margins are not made of.
    """
    num_classes = reach.num_classes
    check_labels(y_B, reach.box[0], num_classes)
    return margins_by_rows(y_B, num_classes, reach.box[0].dtype)


def _check_order(ends: Ends) -> None:
    # SOUND: ends that cross are a bug somewhere below, and are never repaired. NaN passes on, and
    # certifies nothing.
    if bool((ends[0] > ends[1]).any()):
        raise ZooError("bound interval: a lower end above its upper end; no verdict can be trusted")
