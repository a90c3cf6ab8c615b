"""What a term is: settings that a recipe can hold, and a scalar that they make of a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import SerializeAsAny

from zoo.errors import UsageError
from zoo.fields import Strict, Weight, by_name, named, value_of
from zoo.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View

# Values of the schedules at the present step.
Knobs = Mapping[str, float]


class Term(Strict):
    """A scalar of one batch, to be minimised with others.

    Attributes:
        bounded: whether it looks at the box of radius schedules.eps.
        name: under which it is registered; first, so that recipes show it first.
        weight: factor of it, or the schedule that has it; where it is 0 nothing is computed.
    """

    bounded: ClassVar[bool] = False
    name: str
    weight: Weight = 1.0

    @property
    def knobs(self) -> frozenset[str]:
        """Names of the schedules that it reads."""
        return named(self.weight) | frozenset({"eps"} if self.bounded else ())

    @abstractmethod
    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        """Without its weight."""


terms: Registry[type[Term]] = Registry("term", "zoo.terms", see="docs/recipes.md#terms")
AnyTerm = SerializeAsAny[Annotated[Term, by_name(terms)]]


def total(parts: Iterable[tuple[float, Term]], view: View, knobs: Knobs, of: str) -> Tensor:
    """Sum of terms times their weights and these factors.

    Args:
        of: what they are terms of, for the message.

    Raises:
        UsageError: all weights are 0.
    """
    weighed = [(factor * value_of(term.weight, knobs), term) for factor, term in parts]
    found = [weight * term(view, knobs) for weight, term in weighed if weight != 0]
    if not found:
        raise UsageError(
            f"{of}: all terms have weight 0 at this step, so there is nothing to minimise\n"
            "  see that their schedules do not meet at 0"
        )
    return sum(found[1:], found[0])


def share_of(weight: float | str, knobs: Knobs, of: str) -> float:
    """The value of a weight that divides one between two.

    Raises:
        UsageError: it is not in [0, 1].
    """
    share = value_of(weight, knobs)
    if not 0 <= share <= 1:
        name = weight if isinstance(weight, str) else "by"
        raise UsageError(f"{of}: {name} must lie in [0, 1], got {share:g}")
    return share
