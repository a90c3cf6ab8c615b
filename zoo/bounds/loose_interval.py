"""Intervals that jump on purpose: what discontinuous bounds cost in training, at little looseness.

Shapes: B batch, K classes; other tensors have the shape of a ReLU's input, with the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn

from zoo.bounds.base import bounds
from zoo.bounds.interval import Interval
from zoo.propagation import Reach, Step
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import interval


class Loosened(nn.Module):
    """A ReLU, the ends of whose input are moved outward first, by a sawtooth."""

    def __init__(self, relu: nn.Module, per_unit: float, strength: float):
        super().__init__()
        self.relu, self.per_unit, self.strength = relu, per_unit, strength


@interval.register(Loosened)
def _(layer: Loosened, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    down, up = layer.per_unit * lower, layer.per_unit * upper
    # SOUND: both ends move outward or stay, whatever is rounded here.
    lower = lower - layer.strength * (down.ceil() - down).clamp_min(0)
    upper = upper + layer.strength * (up - up.floor()).clamp_min(0)
    return interval(layer.relu, lower, upper, reading)


@bounds.register("loose_interval")
class LooseInterval(Interval):
    """Intervals with l - omega (ceil(W l) - W l) and u + omega (W u - floor(W u)) before each ReLU.

    "Loose box" of Jovanovic et al. 2022 (arXiv:2102.06700): W jumps of height omega on each unit
    show that jumps alone, at one looseness, harm training. Never above `interval`.

    Attributes:
        per_unit: W.
        strength: omega.
    """

    name = "loose_interval"
    per_unit: ClassVar[float] = 1.0
    strength: ClassVar[float] = 0.1

    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        steps = [self._loosened(step) for step in reach.steps]
        return super().margins(Reach(steps, reach.box, reach.reading), y_B)

    def _loosened(self, step: Step) -> Step:
        if type(step.layer) is not nn.ReLU:
            return step
        return replace(step, layer=Loosened(step.layer, self.per_unit, self.strength))
