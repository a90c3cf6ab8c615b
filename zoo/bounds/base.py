"""What a bound is, and the three readings of it that a certificate reports.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.boxes import Box, box
from zoo.propagation import Reach, steps_of
from zoo.registry import Registry


@dataclass(frozen=True)
class Margins:
    """Lower bounds of f_y(x') - f_k(x') over a box; column y is 0.

    Attributes:
        naive_BK: the bound in the model's own dtype, rounding ignored, as papers report it.
        real_BK: rigorous for the real-arithmetic function of the stored weights, on the real box.
        deployed_BK: rigorous for the floating-point program, on every float image in the box.
        radius_B: largest eps at which both rigorous margins are positive, 0 if there is none; None
            where the bound has no closed form for it.
    """

    naive_BK: Tensor
    real_BK: Tensor
    deployed_BK: Tensor
    radius_B: Tensor | None = None

    @staticmethod
    def joined(found: Sequence[Margins], join: Callable[[list[Tensor]], Tensor]) -> Margins:
        """One from several, each reading from the same reading of all."""
        return Margins(
            join([each.naive_BK for each in found]),
            join([each.real_BK for each in found]),
            join([each.deployed_BK for each in found]),
        )


class Bound(ABC):
    """A lower bound on margins over a box.

    Attributes:
        sound: False for an estimate, which may train a net but never certify one.
        repeatable: False where it draws anew at each call; such a certificate could not be checked.
        tells_radius: whether its margins say the largest eps that they prove.
    """

    name: str
    sound: ClassVar[bool] = True
    repeatable: bool = True
    tells_radius: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """margins_BK in the model's dtype, differentiable, rounding ignored."""

    @abstractmethod
    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """Rigorous margins_BK of the exact function; model and box in float64."""

    @abstractmethod
    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """Rigorous margins_BK of the program that model runs, in the dtype it runs in."""

    def at(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        eps: Fraction,
        clip: bool,
    ) -> Margins:
        """Margins at one eps.

        Args:
            model, model64: the deployed model, and its weights in float64.
        """
        small, large = box(x_BCHW, eps, clip), box(x_BCHW.double(), eps, clip)
        return Margins(
            self(model, small, y_B),
            self.real(model64, large, y_B),
            self.deployed(model, small, y_B),
        )

    def sweep(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        radii: Sequence[Fraction],
        clip: bool,
    ) -> Iterator[Margins]:
        """Margins at each eps; a bound that has them in closed form overrides this."""
        for eps in radii:
            yield self.at(model, model64, x_BCHW, y_B, eps, clip)


# Numbers of one value that a CPU's second-level cache keeps, more or less.
_CACHED = 2**19


class PropagatedBound(Bound):
    """A bound that goes along a net's steps.

    In train mode a BatchNorm has the statistics of the box's centre, and counts them. A sweep takes
    a batch in parts that a CPU's cache holds: half the time of one that goes to memory.
    """

    @abstractmethod
    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        """margins_BK of the exact net, differentiable where the reach is read as NAIVE.

        Losses call it with one reach for all that they read of a box.
        """

    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        steps, _ = steps_of(model, box.x_BCHW if model.training else None)
        return self.margins(Reach(steps, (box.lower_BCHW, box.upper_BCHW)), y_B)

    def forms(self, reach: Reach) -> int:
        """How many numbers it carries along for each entry of a value of one image."""
        return reach.num_classes - 1

    def sweep(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        radii: Sequence[Fraction],
        clip: bool,
    ) -> Iterator[Margins]:
        size = self._images_at_once(model, x_BCHW)
        for eps in radii:
            parts = [
                self.at(model, model64, x_bCHW, y_b, eps, clip)
                for x_bCHW, y_b in zip(x_BCHW.split(size), y_B.split(size), strict=True)
            ]
            yield Margins.joined(parts, torch.cat)

    def _images_at_once(self, model: nn.Module, x_BCHW: Tensor) -> int:
        if x_BCHW.device.type != "cpu" or not len(x_BCHW):
            return max(1, len(x_BCHW))
        one = Reach(steps_of(model)[0], (x_BCHW[:1], x_BCHW[:1]))
        largest = max(lower.numel() for lower, _ in one.ends)
        return max(1, _CACHED // (self.forms(one) * largest))


bounds: Registry[type[Bound]] = Registry("bound", "zoo.bounds", see="zoo certify --help")
