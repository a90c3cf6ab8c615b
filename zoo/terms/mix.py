"""A mix of two terms, by a share that a schedule may move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zoo.fields import Weight, named
from zoo.terms.base import AnyTerm, Knobs, Term, share_of, terms, total

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("mix")
class Mix(Term):
    """by * first + (1 - by) * second; a part of share 0 is not computed.

    Gowal et al. 2018 (arXiv:1810.12715) mix a robust and a clean loss so, and DiffAI an adversarial
    one with that of a relaxation (Mirman et al. 2018).

    Args:
        by: share of the first, or the schedule that has it.
        of: two terms, their own weights included.
    """

    name: Literal["mix"]
    by: Weight
    of: tuple[AnyTerm, AnyTerm]

    @property
    def knobs(self) -> frozenset[str]:
        return super().knobs.union(named(self.by), *(term.knobs for term in self.of))

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        share = share_of(self.by, knobs, "term mix")
        parts = zip((share, 1 - share), self.of, strict=True)
        return total(parts, view, knobs, "term mix")
