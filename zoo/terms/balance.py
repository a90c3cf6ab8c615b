"""Balance: ReLUs that do not die all together (Shi et al. 2021, arXiv:2103.17047).

Shapes: tensors have the shape of a ReLU's input, with the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from zoo.terms.base import terms
from zoo.terms.warm_up import WarmUp

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("balance")
class Balance(WarmUp):
    """Two ratios of active (l > 0) to dead (u < 0) neurons, or the inverse where that is less.

    With c the middles of a ReLU's input, one is of the sums of |c| over batch and neurons, the
    other of those of (c - mean c)^2.
    """

    name: Literal["balance"]

    def ratios(self, view: View) -> Iterator[Tensor]:
        import torch

        for lower, upper in view.relu_ends:
            middle = (lower + upper) / 2
            from_mean = (middle - middle.mean()).square()
            for active, dead in ((middle, -middle), (from_mean, from_mean)):
                a, b = (active * (lower > 0)).sum(), (dead * (upper < 0)).sum()
                # The quotient that is at most 1 has a derivative wherever one of them is not 0.
                yield torch.minimum(a, b) / torch.maximum(a, b)
