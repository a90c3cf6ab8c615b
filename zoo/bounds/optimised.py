"""Linear bounds whose lower slopes are searched for, image by image.

Shapes: B batch, S = K - 1 rows, K classes; ``...`` the shape of a ReLU's input without its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.bounds.base import bounds
from zoo.bounds.linear import LinearBound
from zoo.errors import UsageError
from zoo.propagation import Source, Step, lower_bounds
from zoo.propagation.slopes import (
    Alphas,
    best_of_many_steps,
    lower_slopes,
    one_sign_step,
    relu_inputs,
)
from zoo.relaxations import relaxations
from zoo.rounding import Ends

# Rows times terms times bends of the largest linear programs that `triangle` takes on.
_MOST_WORK = 5 * 10**8


class SearchedBound(LinearBound):
    """A linear bound that finds its own lines, and takes none; over CROWN's ends if it is tight."""

    relaxation: ClassVar[str] = "adaptive"

    def __init__(self) -> None:
        super().__init__()


@bounds.register("smooth_tight")
class SmoothTight(SearchedBound):
    """One sign step on the lower slopes, over intervals (Lee et al. 2021, NeurIPS).

    From slopes drawn from U[0, 1] in training, and 1/2 in eval mode, so that a certificate can be
    repeated, the step lowers log(1 + sum_k exp(-margin_k)); the slopes serve all rows. The switch
    from one lower line to the other then follows the loss, and not u > -l.
    """

    name = "smooth_tight"

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        training = any(step.layer.training for step in steps)
        start = {
            i: torch.rand_like(lower) if training else torch.full_like(lower, 0.5)
            for i, (lower, _) in relu_inputs(steps, ends).items()
        }
        fixed = [(lower.detach(), upper.detach()) for lower, upper in ends]

        def loss(alphas: Alphas) -> Tensor:
            source = lower_slopes(alphas)
            margins_BS = lower_bounds(steps, fixed, rows_BSK, len(steps), source)
            return F.softplus((-margins_BS).logsumexp(1)).sum()

        return lower_slopes(one_sign_step(loss, start))


@bounds.register("alpha_crown_ibp")
class AlphaCrownIBP(SearchedBound):
    """Slopes of each row searched in many steps, from CROWN's, over intervals; a row never falls.

    Xu et al. 2021 (arXiv:2011.13824), for the lower slopes and the last bound alone. Rounding is
    accounted for at the slopes found: any are sound.
    """

    name = "alpha_crown_ibp"
    sizes: ClassVar[Sequence[float]] = tuple(0.25 * 0.9**i for i in range(20))

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        begin, num_rows = relaxations["adaptive"](), rows_BSK.shape[1]
        start = {
            i: repeat(begin(lower, upper).lower, "b ... -> b s ...", s=num_rows)
            for i, (lower, upper) in relu_inputs(steps, ends).items()
        }
        bound = partial(lower_bounds, steps, ends, rows_BSK, len(steps))
        best = best_of_many_steps(lambda alphas: bound(lower_slopes(alphas)), start, self.sizes)
        return lower_slopes(best)


@bounds.register("alpha_crown")
class AlphaCrown(AlphaCrownIBP):
    """The same over CROWN's bounds of every entry."""

    name = "alpha_crown"
    tight: ClassVar[bool] = True


@bounds.register("triangle")
class Triangle(SearchedBound):
    """Slopes that a linear program chooses, over intervals: for small nets.

    Raises:
        UsageError: a net whose programs would take more than some seconds an image.
    """

    name = "triangle"

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        from zoo.propagation.triangle import triangle_slopes  # scipy is slow to import

        if not len(rows_BSK):
            return super().source(steps, ends, rows_BSK)
        _check_size(steps, ends, rows_BSK.shape[1])
        return triangle_slopes(steps, ends, rows_BSK)


def _check_size(steps: Sequence[Step], ends: Sequence[Ends], num_rows: int) -> None:
    """Refuse linear programs that a solver is at for long.

    Its time follows rows times terms of the sums times what may bend, open ReLUs, maxima and
    distances: at the limit, 2 to 7 seconds an image on one core of 2 GHz for nets of two to four
    hidden layers, 1 for one.
    """
    open_B = sum(
        ((lower < 0) & (upper > 0)).flatten(1).sum(1)
        for lower, upper in relu_inputs(steps, ends).values()
    )
    made = [(step, lower[0].numel()) for step, (lower, _) in zip(steps, ends[1:], strict=True)]
    num_terms = sum(step.affine.num_terms * size for step, size in made if step.affine is not None)
    num_bends = int(torch.as_tensor(open_B).max()) + sum(
        size for step, size in made if not step.linear and type(step.layer) is not nn.ReLU
    )
    if num_rows * num_bends * num_terms > _MOST_WORK:
        raise UsageError(
            f"the triangle bound is for small nets: for one image {num_rows} linear programs have "
            f"{num_terms:,} terms and {num_bends:,} open ReLUs, maxima and distances, and the "
            f"product of the three is above {_MOST_WORK:,}\n"
            "  take alpha_crown_ibp, whose slopes are found by steps; or a smaller net or eps"
        )
