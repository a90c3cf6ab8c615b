"""What terms of certified margins share: the bound, or a mix of two.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator

from zoo.fields import BoundName, Strict, Weight, known_bound, named
from zoo.terms.base import Knobs, Term, share_of

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


class MixedBound(Strict):
    """by * first + (1 - by) * second of two bounds' margins, row by row.

    Zhang et al. 2020 (arXiv:1906.06316) go from CROWN-IBP to intervals by beta from 1 to 0. Where
    the share of a bound is 0, it is not computed.
    """

    by: Weight
    of: tuple[BoundName, BoundName]


def _bound(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MixedBound.model_validate(value)
    return known_bound(value) if isinstance(value, str) else value


AnyBound = Annotated[str | MixedBound, BeforeValidator(_bound)]


class MarginTerm(Term):
    """A term of the margins that a bound proves over the box.

    Args:
        bound: by its name, or a mix of two; an estimate may do.
    """

    bounded: ClassVar[bool] = True
    bound: AnyBound = "interval"

    @property
    def knobs(self) -> frozenset[str]:
        return super().knobs | (named() if isinstance(self.bound, str) else named(self.bound.by))

    def margins_BK(self, view: View, knobs: Knobs) -> Tensor:
        """Column y 0."""
        if isinstance(self.bound, str):
            return view.margins_BK(self.bound)
        share, (first, second) = share_of(self.bound.by, knobs, "bound"), self.bound.of
        if share in (0, 1):
            return view.margins_BK(first if share else second)
        return share * view.margins_BK(first) + (1 - share) * view.margins_BK(second)
