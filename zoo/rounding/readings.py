"""The three readings of an interval: as papers compute it, for the exact net, for the program.

Shapes: tensors have the shape of a layer's input or output; B batch, I features, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.rounding.affine import Affine, sum_and_difference
from zoo.rounding.directed import Ends, cast_down, cast_up, mid_rad, next_down, next_up
from zoo.rounding.library import library_error
from zoo.rounding.ordered import ordered_slack
from zoo.rounding.sums import deployed_error, deployed_slack, real_slack


class Reading(ABC):
    """What an interval must become so that it holds what it is read as."""

    @abstractmethod
    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        """After one operation that is rounded once, and is monotone in each argument."""

    @abstractmethod
    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        """After sums of so many products >= 0, in one order for both ends and for points."""

    @abstractmethod
    def function(
        self, f: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, units: int
    ) -> Ends:
        """Image of [lower, upper] under an increasing function that a library computes.

        Args:
            f: what the program calls. Nobody promises that it is monotone as computed, nor that
                equal arguments give equal results wherever they stand in a tensor.
            units: the most that f is off by, see zoo.rounding.library.
        """

    @abstractmethod
    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        """Image of [lower, upper] under an affine layer."""

    @abstractmethod
    def elided(self, layer: Affine, lower_BI: Tensor, upper_BI: Tensor, y_B: Tensor) -> Tensor:
        """margins_BK: lower bounds of f_y - f_k over [lower, upper] for a fully connected layer f.

        The least of (W_y - W_k) x + (b_y - b_k), not of f_y less the largest f_k: both may not be
        at the same x.
        """


class _Naive(Reading):
    """Rounding ignored, as papers report a bound, and differentiable: what training uses."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        return lower, upper

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        return lower, upper

    def function(
        self, f: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, units: int
    ) -> Ends:
        low, high = f(lower), f(upper)
        # Where a computed function falls by a unit instead of rising, ends must not cross.
        return torch.minimum(low, high), torch.maximum(low, high)

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        upper, lower = sum_and_difference(*layer.mid_rad(lower, upper))
        return lower, upper

    def elided(self, layer: Affine, lower_BI: Tensor, upper_BI: Tensor, y_B: Tensor) -> Tensor:
        return self.affine(layer.differences(y_B), lower_BI, upper_BI)[0]


class _Real(Reading):
    """Encloses the exact function, for every real input in the interval."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: the real number behind a rounded result lies between its two neighbours.
        return next_down(lower), next_up(upper)

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: an end is the exact one but for at most num_terms + 1 roundings.
        return lower - ordered_slack(num_terms, lower), upper + ordered_slack(num_terms, upper)

    def function(
        self, f: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, units: int
    ) -> Ends:
        low, high = f(lower), f(upper)
        # SOUND: the exact function is monotone, and its values at the ends are this near.
        return self.step(low - library_error(low, units), high + library_error(high, units))

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        mid, radius = mid_rad(lower, upper)
        slack = real_slack(layer.num_terms, layer.magnitude(mid.abs() + radius))
        centre, spread = layer.centre(mid), layer.radius(radius)
        return centre - spread - slack, centre + spread + slack

    def elided(self, layer: Affine, lower_BI: Tensor, upper_BI: Tensor, y_B: Tensor) -> Tensor:
        # SOUND: the differences of weights are rounded, which their Affine counts as a term.
        return self.affine(layer.differences(y_B), lower_BI, upper_BI)[0]


class _Deployed(Reading):
    """Encloses the program: every execution on every input in the interval, in their dtype."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: rounding is monotone, so the same operation on both ends encloses its results.
        return lower, upper

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: in the same order the same roundings are made, and each of them is monotone.
        return lower, upper

    def function(
        self, f: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor, units: int
    ) -> Ends:
        low, high = f(lower), f(upper)
        # SOUND: with e(y) the right side of (1) in zoo.rounding.library, any run at x >= lower
        # gives at least y - e(y) at y = the exact f(x), which rises with y and so is at least that
        # at the exact f(lower); there y is off by library_error from low, and e(y) at most that.
        low, high = low - 2 * library_error(low, units), high + 2 * library_error(high, units)
        return next_down(low), next_up(high)

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        # In float64, where the interval's own rounding is next to nothing beside the program's.
        program, wide = lower.dtype, layer.to(torch.float64)
        mid, radius = mid_rad(lower.double(), upper.double())
        size = mid.abs() + radius
        magnitude = wide.magnitude(size)
        slack = deployed_slack(layer.num_terms, magnitude, program)
        slack = _where_it_fits(wide.reached(size, magnitude) + slack, slack, program)
        centre, spread = wide.centre(mid), wide.radius(radius)
        return cast_down(centre - spread - slack, program), cast_up(
            centre + spread + slack, program
        )

    def elided(self, layer: Affine, lower_BI: Tensor, upper_BI: Tensor, y_B: Tensor) -> Tensor:
        """The program compares logits that it rounded one by one, whatever cancels in W_y - W_k.

        At an input x of the program, each computed logit is within the deployed error E_k of the
        exact layer's, T_k being its own magnitude |W_k| |x| + |b_k|. So the computed logits differ
        by at least (W_y - W_k) x + (b_y - b_k) - E_y - E_k, and the least of the exact difference
        over the interval is that of the reading REAL, here in float64.
        """
        program, wide = lower_BI.dtype, layer.to(torch.float64)
        mid_BI, radius_BI = mid_rad(lower_BI.double(), upper_BI.double())
        largest_BI = mid_BI.abs() + radius_BI
        magnitude_BK = wide.magnitude(largest_BI)
        error_BK = deployed_error(layer.num_terms, magnitude_BK, program)
        reached_BK = wide.reached(largest_BI, magnitude_BK)
        error_BK = _where_it_fits(reached_BK + error_BK, error_BK, program)
        pair = wide.differences(y_B)
        slack_BK = real_slack(pair.num_terms, pair.magnitude(largest_BI))
        # SOUND: both logits are rounded, so both errors count; 1.01 in them covers this sum.
        slack_BK = slack_BK + error_BK + error_BK.gather(1, y_B[:, None])
        return cast_down(pair.centre(mid_BI) - pair.radius(radius_BI) - slack_BK, program)


def _where_it_fits(largest: Tensor, slack: Tensor, program: torch.dtype) -> Tensor:
    # SOUND: a sum that may overflow on the way has no bound; NaN certifies nothing. Partial sums
    # are at most the magnitude, in any order, and what rounding adds.
    return torch.where(largest < torch.finfo(program).max, slack, math.nan)


NAIVE, REAL, DEPLOYED = _Naive(), _Real(), _Deployed()
