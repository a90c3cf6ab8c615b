"""Cross-entropy of the clean logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("cross_entropy")
class CrossEntropy(Term):
    """CE(logits, y)."""

    name: Literal["cross_entropy"]

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(view.logits_BK, view.y_B)
