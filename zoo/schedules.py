"""Schedules: pure functions of training progress t in [0, 1]. A resumed run needs no state.

Every schedule holds its first value until t = begin and its last from t = until on.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from zoo.fields import Extended, Number, Strict


class _Ramp(Strict):
    start: Number
    end: Number
    begin: Annotated[Number, Field(ge=0, le=1)] = 0.0
    until: Annotated[Number, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> _Ramp:
        if not self.begin < self.until:
            raise ValueError(f"begin = {self.begin:g} must come before until = {self.until:g}")
        return self

    @abstractmethod
    def between(self, u: float) -> float:
        """Value at the share u in [0, 1] of the ramp."""

    def __call__(self, t: float) -> float:
        return self.between(min(1.0, max(0.0, (t - self.begin) / (self.until - self.begin))))


class Constant(Strict):
    """One value throughout."""

    name: Literal["constant"]
    value: Extended

    def __call__(self, t: float) -> float:
        return self.value


class Linear(_Ramp):
    """A straight line from start to end."""

    name: Literal["linear"]

    def between(self, u: float) -> float:
        return self.start + (self.end - self.start) * u


class Cosine(_Ramp):
    """Half a cosine from start to end."""

    name: Literal["cosine"]

    def between(self, u: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * u)) / 2


class Exponential(_Ramp):
    """start * (end / start)^u, and `then` (if given) from t = until on.

    The exponent p of arXiv:2110.06850 goes 8 to 1000 this way, then to inf.
    """

    name: Literal["exponential"]
    start: Annotated[Number, Field(gt=0)]
    end: Annotated[Number, Field(gt=0)]
    then: Extended | None = None

    def between(self, u: float) -> float:
        return self.start * (self.end / self.start) ** u

    def __call__(self, t: float) -> float:
        return self.then if self.then is not None and t >= self.until else super().__call__(t)


class Staircase(Exponential):
    """The one of `values` that is nearest, by ratio, to the exponential; `then` as there.

    Powers p of few prime factors cost a few products each, where a real p costs a logarithm and an
    exponential: 8, 12, 16, 24, 32, 48, 64, 96, ... make an exponent schedule that is fast to train.
    """

    name: Literal["staircase"]  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=1)]

    def between(self, u: float) -> float:
        exact = super().between(u)
        return min(self.values, key=lambda value: abs(math.log(value / exact)))


class Smooth(_Ramp):
    """Quartic up to the share `bend` of the ramp, then straight, with a continuous slope.

    For u < r: k * u^4; above: 1 - (1 - k r^4) / (1 - r) * (1 - u), with k = 1 / ((4 - 3 r) r^3)
    (Zhang et al. 2020, arXiv:1906.06316, reference implementation).
    """

    name: Literal["smooth"]
    bend: Annotated[Number, Field(gt=0, lt=1)] = 0.4

    def between(self, u: float) -> float:
        r = self.bend
        k = 1 / ((4 - 3 * r) * r**3)
        share = k * u**4 if u < r else 1 - (1 - k * r**4) / (1 - r) * (1 - u)
        return self.start + (self.end - self.start) * share


Schedule = Annotated[
    Constant | Linear | Cosine | Exponential | Staircase | Smooth, Field(discriminator="name")
]
