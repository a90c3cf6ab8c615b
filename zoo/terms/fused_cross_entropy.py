"""Loss fusion: the cross-entropy itself is bounded, by one linear form in place of K - 1.

Xu et al. 2020 (arXiv:2002.12920).

Shapes: B batch, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from zoo.errors import UsageError
from zoo.fields import BoundName
from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("fused_cross_entropy")
class FusedCrossEntropy(Term):
    """log of an upper bound of sum_k exp(f_k - f_y) over the box, which has the 1 of k = y in it.

    exp lies below its chord over the interval [l, u] of f_k - f_y: exp(z) <= e^l + s (z - l), with
    s = (e^u - e^l) / (u - l). So the sum is at most

        1 + sum_k (e^l_k - s_k l_k) - min of sum_k s_k (f_y - f_k),        k != y

    where one row, whatever K, bounds the minimum. Never below the cross-entropy of any image in the
    box; above or below the one of K - 1 margins, which need not meet at one image but pay for no
    chord. It says of no image whether it is certified.

    Args:
        bound: one that bounds linear forms: backward, or a zonotope.
    """

    bounded: ClassVar[bool] = True
    name: Literal["fused_cross_entropy"]
    bound: BoundName = "crown_ibp"

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        import torch

        from zoo.bounds import create_bound
        from zoo.bounds.stepwise import StepwiseBound
        from zoo.propagation import margin_ends

        bound, y_B1 = create_bound(self.bound), view.y_B[:, None]
        if not isinstance(bound, StepwiseBound):
            raise UsageError(
                f"bound {self.bound} bounds no linear forms, of which loss fusion has one\n"
                "  take crown_ibp or another backward bound of docs/bounds.md"
            )
        least_BK, most_BK = margin_ends(view.reach, view.y_B)
        # All is divided by e^shift, and no exponential overflows. The loss is the same whatever the
        # shift, so no gradient flows through it.
        shift_B1 = (-least_BK).amax(1, keepdim=True).detach()  # 0 at least, by column y
        low_BK, high_BK = -most_BK, -least_BK
        slope_BK = (high_BK - shift_B1).exp() * _mean_decay(high_BK - low_BK)
        slope_BK = slope_BK.scatter(1, y_B1, 0.0)
        at_low_BK = (low_BK - shift_B1).exp() - slope_BK * low_BK  # of k = y it is the 1
        row_BK = (-slope_BK).scatter(1, y_B1, slope_BK.sum(1, keepdim=True))
        least_B = bound.lower(view.reach, row_BK[:, None])[:, 0]
        # The sum has its 1; what is less is rounding.
        tiny = torch.finfo(least_B.dtype).tiny
        most_B = torch.maximum(at_low_BK.sum(1) - least_B, (-shift_B1[:, 0]).exp().clamp_min(tiny))
        return (shift_B1[:, 0] + most_B.log()).mean()


def _mean_decay(width: Tensor) -> Tensor:
    """(1 - e^-w) / w for w >= 0, 1 at 0, with derivatives that lose no digits to it."""
    import torch

    small = width < 0.01
    away = torch.where(small, torch.ones_like(width), width)
    series = 1 - width / 2 * (1 - width / 3 * (1 - width / 4))
    return torch.where(small, series, -torch.expm1(-away) / away)
