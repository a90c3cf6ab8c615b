"""What the two regularisers of warm-up share (Shi et al. 2021, arXiv:2103.17047)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from zoo.fields import Number
from zoo.terms.base import Knobs, Term

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View

_SMALLEST_EPS = 1e-6  # so that ratios of radii are numbers where the ramp of eps begins at 0


class WarmUp(Term):
    """1 / (tau m) times the sum over the net's m ReLUs of relu(tau - ratio), for ratios to raise.

    A ratio that is no number says nothing of its ReLU, and is left out. Their weight falls with eps
    to 0: where eps is a ramp `smooth` from 0 to its end, a ramp of the same bend from 0.5 to 0.

    Args:
        tau: ratio that is large enough.
    """

    bounded: ClassVar[bool] = True
    tau: Annotated[Number, Field(gt=0, le=1)] = 0.5

    @abstractmethod
    def ratios(self, view: View) -> Iterator[Tensor]:
        """Of all ReLUs."""

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        assert view.eps is not None
        view = view.at(max(view.eps, _SMALLEST_EPS))
        short = [(self.tau - r).relu() for r in self.ratios(view) if bool(r.detach().isfinite())]
        scale = self.tau * max(len(view.relu_ends), 1)
        return sum(short, view.x_BCHW.new_zeros(())) / scale
