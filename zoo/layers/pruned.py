"""PrunedLinfDist: a distance layer that has kept only some of its edges.

Shapes: B batch, I in features, O out features, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import reduce
from torch import Tensor, nn

from zoo.layers.distance import distance_drift, line_below
from zoo.ops import linf_dist_sparse, linf_dist_sparse_bounds
from zoo.ops.linf_dist_sparse import edges_obstacle, linf_dist_sparse_nearest
from zoo.rounding import FLUSH, NAIVE, REAL, Ends, Reading
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


class PrunedLinfDistLinear(nn.Module):
    """y_o = max_e |x[index_e] - value_e| + b_o over the edges e of output o, at p = inf only.

    A maximum over some of the coordinates: 1-Lipschitz in l_inf like the layer it came from, but
    another function, which is certified as itself. Six bytes an edge.

    Args:
        num_edges: of the whole layer; at most 65,536 inputs can be told apart.
    """

    index_E: Tensor
    start: Tensor

    def __init__(self, num_in: int, num_out: int, num_edges: int):
        super().__init__()
        self.num_in = num_in
        self.weight_E = nn.Parameter(torch.zeros(num_edges))
        self.bias = nn.Parameter(torch.zeros(num_out))
        self.register_buffer("index_E", torch.zeros(num_edges, dtype=torch.uint16))
        self.register_buffer("start", torch.zeros(num_out + 1, dtype=torch.int32))

    @torch.no_grad()
    def set_edges(self, weight_OI: Tensor, keep_OI: Tensor) -> None:
        """Take over the edges of a full layer that are marked."""
        self.weight_E.copy_(weight_OI[keep_OI])
        self.index_E.copy_(keep_OI.nonzero()[:, 1].to(torch.uint16))
        self.start[1:] = keep_OI.sum(1).cumsum(0)

    def forward(self, x_BI: Tensor) -> Tensor:
        return linf_dist_sparse(x_BI, self.weight_E, self.index_E, self.start) + self.bias

    def extra_repr(self) -> str:
        return f"{self.num_in}, {len(self.bias)}, edges={len(self.weight_E)}"


@obstacle.register
def _(layer: PrunedLinfDistLinear) -> str | None:
    return edges_obstacle(layer.num_in, layer.index_E, layer.start)


@interval.register(PrunedLinfDistLinear)
def _(layer: PrunedLinfDistLinear, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    edges = layer.weight_E, layer.index_E, layer.start
    lower_BO, upper_BO = reading.step(*linf_dist_sparse_bounds(lower, upper, *edges))
    lower_BO = lower_BO.clamp_min(0)  # a distance is never negative, so 0 needs no widening
    return reading.step(lower_BO + layer.bias, upper_BO + layer.bias)


@enter_picks(PrunedLinfDistLinear)
def _(layer: PrunedLinfDistLinear, ends: Ends, rigorous: bool) -> Picks:
    """As of the full layer, over the edges that are left."""
    reading, (lower, upper) = REAL if rigorous else NAIVE, ends
    edges = layer.weight_E, layer.index_E, layer.start
    edge_BO = linf_dist_sparse_nearest(lower, upper, *edges)
    at_BO = layer.index_E.long()[edge_BO]
    low_BO, high_BO = lower.gather(1, at_BO), upper.gather(1, at_BO)
    slope_BO, offset_BO = line_below(layer.weight_E[edge_BO], low_BO, high_BO)
    # SOUND: an offset is rounded once, there where it meets a bias.
    offset_BO, _ = reading.step(offset_BO + layer.bias, offset_BO)
    _, highest_BO = interval(layer, lower, upper, reading)
    return Picks(at_BO, slope_BO, offset_BO, torch.zeros_like(slope_BO), highest_BO)


@drift.register(PrunedLinfDistLinear)
def _(
    layer: PrunedLinfDistLinear,
    errors: Sequence[Tensor],
    ends: Sequence[Ends],
    program: torch.dtype,
) -> Tensor:
    # SOUND: any edge may be the one that counts.
    incoming_B1 = reduce(errors[0], "b i -> b 1", "max")
    edges = layer.weight_E, layer.index_E, layer.start
    _, farthest_BO = linf_dist_sparse_bounds(*ends[0], *edges)
    return distance_drift(incoming_B1, farthest_BO, layer.bias, program)


@forward_error.register(PrunedLinfDistLinear)
def _(layer: PrunedLinfDistLinear, x: Rounded, unit: float) -> Rounded:
    z_BO = linf_dist_sparse(x.value, layer.weight_E, layer.index_E, layer.start)
    y_BO = z_BO + layer.bias
    # As for the full layer: the correctly rounded distance, and the bias added to it.
    incoming_B1 = reduce(x.error.expand_as(x.value), "b i -> b 1", "max")
    error_BO = incoming_B1 + unit * (z_BO.double() + y_BO.double().abs()) + 2 * FLUSH
    return x.after(y_BO, error_BO, 2)


@describe.register(PrunedLinfDistLinear)
def _(layer: PrunedLinfDistLinear, name: str = "") -> Description:
    return [{"kind": "pruned_linf_dist", "name": name}]
