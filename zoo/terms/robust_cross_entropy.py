"""Cross-entropy of certified margins (Wong and Kolter 2018, arXiv:1711.00851)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zoo.terms.base import Knobs, terms
from zoo.terms.margins import MarginTerm

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("robust_cross_entropy")
class RobustCrossEntropy(MarginTerm):
    """CE(-margins, y) = log(1 + sum over k != y of exp(-margin_k)).

    Never below the cross-entropy of any image in the box.
    """

    name: Literal["robust_cross_entropy"]

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(-self.margins_BK(view, knobs), view.y_B)
