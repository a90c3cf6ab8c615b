"""Margins: lower bounds of f_y - f_k over a box of a model's inputs, its last layer elided.

``margins(model, lower, upper, y_B, reading=NAIVE) -> margins_BK``, column y 0. `DEPLOYED` speaks of
the logits that the program computes, `REAL` of the exact ones (zoo.rounding.readings).

Where the last layer is fully connected, its difference f_y - f_k is bounded as one affine function
(Gowal et al. 2018, arXiv:1810.12715): never less than lower_y - upper_k, which is what
all other models get, as the least f_y and the largest f_k may belong to different inputs.

Shapes: B batch, K classes; other tensors have the shape of the layer's input.
"""

from __future__ import annotations

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.rounding import NAIVE, Reading
from zoo.rules.dispatch import Rule
from zoo.rules.interval import interval

# Margins of a layer that is or ends in one that can be elided; column y is of no meaning.
elided: Rule[..., Tensor] = Rule("elided")


def margins(
    layer: nn.Module, lower: Tensor, upper: Tensor, y_B: Tensor, reading: Reading = NAIVE
) -> Tensor:
    """Lower bounds of f_y(x) - f_k(x) over all x in [lower, upper], (B, K), column y 0.

    Raises:
        ZooError: ends that cross.
        UsageError: a layer without an interval rule.
    """
    _check_order(lower, upper)
    if layer in elided:
        margins_BK = elided(layer, lower, upper, y_B, reading)
    else:
        lower_BK, upper_BK = interval(layer, lower, upper, reading)
        _check_order(lower_BK, upper_BK)
        # SOUND: a - b > 0 in floating point if and only if a > b, as subnormals are kept.
        margins_BK = lower_BK.gather(1, y_B[:, None]) - upper_BK
    return margins_BK.scatter(1, y_B[:, None], 0.0)


@elided.register(nn.Sequential)
def _(
    layer: nn.Sequential, lower: Tensor, upper: Tensor, y_B: Tensor, reading: Reading = NAIVE
) -> Tensor:
    *before, last = layer if len(layer) else [nn.Flatten()]
    for child in before:
        lower, upper = interval(child, lower, upper, reading)
    return margins(last, lower, upper, y_B, reading)


def _check_order(lower: Tensor, upper: Tensor) -> None:
    # SOUND: ends that cross are a bug somewhere below, and are never repaired. NaN passes on, and
    # certifies nothing.
    if bool((lower > upper).any()):
        raise ZooError("bound interval: a lower end above its upper end; no verdict can be trusted")
