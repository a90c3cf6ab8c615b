"""The three readings of an interval: as papers compute it, for the exact net, for the program.

Shapes: tensors have the shape of a layer's input or output.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from zoo.rounding.affine import Affine
from zoo.rounding.directed import Ends, cast_down, cast_up, next_down, next_up
from zoo.rounding.ordered import ordered_slack
from zoo.rounding.sums import deployed_slack, real_slack


class Reading(ABC):
    """What an interval must become so that it holds what it is read as."""

    @abstractmethod
    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        """After one operation that is rounded once, and is monotone in each argument."""

    @abstractmethod
    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        """After sums of so many products >= 0, in one order for both ends and for points."""

    @abstractmethod
    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        """Image of [lower, upper] under an affine layer."""


class _Naive(Reading):
    """Rounding ignored, as papers report a bound, and differentiable: what training uses."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        return lower, upper

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        return lower, upper

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        centre, radius = layer.centre((lower + upper) / 2), layer.radius((upper - lower) / 2)
        return centre - radius, centre + radius


class _Real(Reading):
    """Encloses the exact function, for every real input in the interval."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: the real number behind a rounded result lies between its two neighbours.
        return next_down(lower), next_up(upper)

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: an end is the exact one but for at most num_terms + 1 roundings.
        return lower - ordered_slack(num_terms, lower), upper + ordered_slack(num_terms, upper)

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        centre, radius, magnitude = _mid_rad(layer, lower, upper)
        slack = real_slack(layer.num_terms, magnitude)
        return centre - radius - slack, centre + radius + slack


class _Deployed(Reading):
    """Encloses the program: every execution on every input in the interval, in their dtype."""

    def step(self, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: rounding is monotone, so the same operation on both ends encloses its results.
        return lower, upper

    def ordered_sum(self, num_terms: int, lower: Tensor, upper: Tensor) -> Ends:
        # SOUND: in the same order the same roundings are made, and each of them is monotone.
        return lower, upper

    def affine(self, layer: Affine, lower: Tensor, upper: Tensor) -> Ends:
        # In float64, where the interval's own rounding is next to nothing beside the program's.
        program, wide = lower.dtype, layer.to(torch.float64)
        centre, radius, magnitude = _mid_rad(wide, lower.double(), upper.double())
        slack = deployed_slack(layer.num_terms, magnitude, program)
        # SOUND: a sum that may overflow on the way has no bound; NaN certifies nothing. Partial
        # sums are at most the magnitude, in any order.
        fits = magnitude + slack < torch.finfo(program).max
        slack = torch.where(fits, slack, math.nan)
        return cast_down(centre - radius - slack, program), cast_up(
            centre + radius + slack, program
        )


def _mid_rad(layer: Affine, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mid = (lower + upper) / 2
    # SOUND: the middle is rounded, so the radius is taken to the farther end.
    radius = torch.maximum(upper - mid, mid - lower)
    return layer.centre(mid), layer.radius(radius), layer.magnitude(mid.abs() + radius)


NAIVE, REAL, DEPLOYED = _Naive(), _Real(), _Deployed()
