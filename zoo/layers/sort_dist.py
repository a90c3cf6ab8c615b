"""SortDist: a distance layer whose neurons weigh several order statistics.

Shapes: B batch, I in features, O out features, K order statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from einops import reduce
from torch import Tensor

from zoo.errors import UsageError
from zoo.layers.distance import distance_drift
from zoo.layers.lp_dist import LpDistLinear, finite_exponent
from zoo.ops import lp_dist, order_dist, order_dist_bounds, order_weights
from zoo.ops.kept_dist import kept_dist, random_subsets
from zoo.rounding import FLUSH, NAIVE, REAL, Ends, Reading, ordered_error, unit_roundoff
from zoo.rules import (
    Picks,
    Rounded,
    describe,
    drift,
    enter_picks,
    forward_error,
    interval,
    obstacle,
)
from zoo.rules.describe import Description


class SortDistLinear(LpDistLinear):
    """y_o = sum_k v_k |x - w_o|_(k) + b_o (Zhang et al. 2022, arXiv:2210.01787, Eq. 7).

    |x - w_o|_(k) is the k-th largest of the |x_i - w_oi|. Such a neuron is the mean, over the coins
    that keep each input with probability 1 - rho, of a maximum over the inputs that are kept:
    v_k = (1 - rho) rho^(k-1), cut off after K terms and scaled to a sum of 1, rounded down.

    So it trains as an ordinary distance over inputs of which some are kept, at any p; how many is
    drawn for each call, and which ones for each few samples, from torch's global generator. Where
    all are kept, or in eval mode, it is the distance over all inputs at finite p, which is for the
    log alone, and at p = inf the weighted sum above, with its gradient.

    1-Lipschitz from l_inf to l_inf at p = inf in eval mode.

    Args:
        rho: ratio of successive weights, 0 <= rho < 1; 0 is LpDistLinear.
        k: number of order statistics, all if there are fewer inputs.
        keep: share of the inputs that is kept in training; 1 - rho by default, all with 1.
        sub_batch: samples that share their kept inputs.
        bias, identity: see LpDistLinear.

    Raises:
        UsageError: one of them is out of range.
    """

    order_K: Tensor

    def __init__(
        self,
        num_in: int,
        num_out: int,
        *,
        rho: float,
        k: int = 10,
        keep: float | None = None,
        sub_batch: int = 32,
        bias: bool = False,
        identity: bool = False,
    ):
        super().__init__(num_in, num_out, bias=bias, identity=identity)
        weights = order_weights(float(rho), min(k, num_in))
        self.register_buffer("order_K", torch.tensor(weights, dtype=torch.float32))
        self.keep = 1 - float(rho) if keep is None else float(keep)
        self.sub_batch = sub_batch
        if not 0 < self.keep <= 1 or sub_batch < 1:
            raise UsageError(
                f"SortDistLinear: needs 0 < keep <= 1 and sub_batch >= 1, "
                f"got keep={keep}, sub_batch={sub_batch}"
            )

    def forward(self, x_BI: Tensor) -> Tensor:
        return self.shift(self.distances(x_BI))

    def distances(self, x_BI: Tensor) -> Tensor:
        """Distances without the bias."""
        # SOUND: nothing is left out in eval mode.
        if self.training and self.keep < 1:
            num_s = -(-len(x_BI) // self.sub_batch)
            kept_SN = random_subsets(x_BI.shape[1], self.keep, num_s)
            return kept_dist(x_BI, self.weight, self.p, kept_SN, self.sub_batch)
        if math.isinf(self.p):
            return order_dist(x_BI, self.weight, self.order_K)
        return lp_dist(x_BI, self.weight, self.p)

    @property
    def gain(self) -> Fraction:
        """l_inf Lipschitz constant at p = inf in eval mode, exact: the sum of the weights."""
        return sum(map(Fraction, self.order_K.tolist()), Fraction(0))

    def extra_repr(self) -> str:
        order = ", ".join(f"{v:.3g}" for v in self.order_K.tolist())
        return f"{super().extra_repr()}, keep={self.keep:g}, order=[{order}]"


@obstacle.register
def _(layer: SortDistLinear) -> str | None:
    # Checked again with the weights in place: a file can hold any numbers.
    order = layer.order_K.tolist()
    # SOUND: by a negative weight a neuron falls where a distance grows, and 0 times a distance that
    # overflows is NaN in the program alone. Comparisons are false for NaN.
    if not all(0 < v < math.inf for v in order):
        return f"order_K must hold positive numbers, got {order}"
    # SOUND: the Lipschitz constant is the sum of the weights as they are stored, without rounding.
    if layer.gain > 1:
        return f"order_K sums to {float(layer.gain)!r}, more than 1"
    return finite_exponent(layer)


def _check(layer: SortDistLinear) -> None:
    reason = obstacle(layer)
    if reason is not None:
        raise UsageError(f"SortDistLinear has no bounds: {reason}")
    if layer.training:
        raise UsageError("SortDistLinear in train mode has no bounds: call model.eval() first")


@interval.register(SortDistLinear)
def _(layer: SortDistLinear, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    _check(layer)
    ends_BO = order_dist_bounds(lower, upper, layer.weight, layer.order_K)
    lower_BO, upper_BO = reading.ordered_sum(len(layer.order_K), *ends_BO)
    lower_BO = lower_BO.clamp_min(0)  # a sum of distances is never negative
    if layer.bias is None:
        return lower_BO, upper_BO
    return reading.step(layer.shift(lower_BO), layer.shift(upper_BO))


@enter_picks(SortDistLinear)
def _(layer: SortDistLinear, ends: Ends, rigorous: bool) -> Picks:
    """None: a sum of order statistics follows several entries at once."""
    return Picks.level(*interval(layer, *ends, REAL if rigorous else NAIVE))


@drift.register(SortDistLinear)
def _(
    layer: SortDistLinear, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype
) -> Tensor:
    _check(layer)
    lower, upper = ends[0]
    _, farthest_BO = order_dist_bounds(lower, upper, layer.weight, layer.order_K)
    # SOUND: gain <= 1; any entry may be among those that count.
    incoming_B1 = reduce(errors[0], "b i -> b 1", "max")
    # The rounding of the sum beside that of its last number and its bias.
    largest_BO = 1.01 * (farthest_BO + incoming_B1)
    own_BO = ordered_error(len(layer.order_K), largest_BO, unit_roundoff(program))
    return own_BO + distance_drift(incoming_B1, farthest_BO, layer.bias, program)


@forward_error.register(SortDistLinear)
def _(layer: SortDistLinear, x: Rounded, unit: float) -> Rounded:
    _check(layer)
    z_BO = layer.distances(x.value)
    y_BO = layer.shift(z_BO)
    num_k, gain = len(layer.order_K), layer.gain
    incoming_B1 = reduce(x.error.expand_as(x.value), "b i -> b 1", "max")
    # SOUND: gain <= 1, and 1 is not rounded; errors that the gain lessens are allowed for in full.
    error_BO = incoming_B1 + ordered_error(num_k, z_BO, unit)
    # As many roundings of z as its error counts: what grows within a ball is counted by them.
    if layer.bias is None:
        return x.after(y_BO, error_BO, num_k + 2, gain)
    return x.after(y_BO, error_BO + unit * y_BO.double().abs() + FLUSH, num_k + 3, gain)


@describe.register(SortDistLinear)
def _(layer: SortDistLinear, name: str = "") -> Description:
    _check(layer)
    return [{"kind": "sort_dist", "name": name}]
