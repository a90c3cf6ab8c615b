"""A sum of terms that a recipe lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from zoo.objectives.base import objectives
from zoo.objectives.of_terms import ObjectiveOfTerms
from zoo.terms import AnyTerm, Term


@objectives.register("sum")
class Sum(ObjectiveOfTerms):
    """Sum of weight * term.

    Args:
        terms: see zoo.terms.
    """

    name: Literal["sum"]
    terms: Annotated[tuple[AnyTerm, ...], Field(min_length=1)]

    @property
    def parts(self) -> Sequence[Term]:
        return self.terms
