"""Cross-entropy of certified margins, by any bound, beside that of the clean logits.

Wong and Kolter 2018 (arXiv:1711.00851); the mix by Gowal et al. 2018 (arXiv:1810.12715).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from zoo.objectives.base import objectives
from zoo.objectives.of_terms import ObjectiveOfTerms
from zoo.terms import Term
from zoo.terms.cross_entropy import CrossEntropy
from zoo.terms.margins import AnyBound
from zoo.terms.mix import Mix
from zoo.terms.robust_cross_entropy import RobustCrossEntropy as Robust


@objectives.register("robust_cross_entropy")
class RobustCrossEntropy(ObjectiveOfTerms):
    """kappa * CE(-margins, y) + (1 - kappa) * CE(logits, y).

    Short for the objective `sum` of a term `mix` by kappa, of `robust_cross_entropy` and
    `cross_entropy`. kappa and eps follow schedules; papers' kappa is often 1 - kappa.

    Args:
        bound: by its name, or a mix of two; an estimate may do.
    """

    name: Literal["robust_cross_entropy"]
    bound: AnyBound = "interval"

    @property
    def parts(self) -> Sequence[Term]:
        robust = Robust(name="robust_cross_entropy", bound=self.bound)
        clean = CrossEntropy(name="cross_entropy")
        return [Mix(name="mix", by="kappa", of=(robust, clean))]
