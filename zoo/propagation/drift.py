"""What the program is off by: errors of its values against the exact net's on the same input.

Shapes: tensors have the shape of a value, with the batch; B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.propagation.steps import Step
from zoo.rounding import Ends
from zoo.rules import affine_drift, drift


def program_errors(steps: Sequence[Step], ends: Sequence[Ends], program: torch.dtype) -> Tensor:
    """Errors (B, K) of the logits that a program may compute, in any order of its sums.

    Args:
        steps: in float64.
        ends: of all values of the exact net over the box, rigorous, in float64.
        program: the dtype that it runs in.
    """
    errors = [torch.zeros_like(ends[0][0])]  # the image itself is a float image
    for step in steps:
        taken, around = [errors[i] for i in step.inputs], [ends[i] for i in step.inputs]
        if step.affine is not None:
            errors.append(affine_drift(step.affine, taken[0], around[0], program))
        else:
            errors.append(drift(step.layer, taken, around, program))
    return errors[-1]
