"""Drift rule: how far a value of the program may be from the exact net's, anywhere in a box.

``drift(layer, errors, ends, program) -> Tensor``: for each output of a layer, given the same of its
inputs; ``program`` is the dtype that it runs in. Linear bounds speak of the exact net, and what the
program makes of its inputs differs from that by no more than this. Affine layers need no rule.

Shapes: tensors have the shape of the layer's input or output, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.rounding import Affine, Ends, deployed_error, largest
from zoo.rules.dispatch import SEVERAL, Rule

drift: Rule[..., Tensor] = Rule("drift", SEVERAL)


@drift.register(nn.ReLU)
def _(
    layer: nn.ReLU, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    # SOUND: exact and 1-Lipschitz; where u + e < 0 both values are below 0, and both results 0.
    return torch.where(ends[0][1] < -errors[0], 0.0, errors[0])


def affine_drift(affine: Affine, error: Tensor, ends: Ends, program: torch.dtype) -> Tensor:
    """|W| e, and the rounding of sums at inputs that may be e larger than the exact ones."""
    size = largest(*ends) + error
    magnitude = affine.magnitude(size)
    own = deployed_error(affine.num_terms, magnitude, program)
    # SOUND: a sum that may overflow on the way has no bound; NaN certifies nothing.
    fits = affine.reached(size, magnitude) + own < torch.finfo(program).max
    # 1.01 for the rounding of these sums themselves, in float64.
    return torch.where(fits, 1.01 * affine.radius(error) + own, torch.nan)
