"""What a bound is, and the three readings of it that a certificate reports.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

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


class Bound(ABC):
    """A lower bound on margins over a box.

    Attributes:
        sound: False for an estimate, which may train a net but never certify one.
    """

    name: ClassVar[str]
    sound: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """margins_BK in the model's dtype, differentiable, rounding ignored."""

    @abstractmethod
    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """Rigorous margins_BK of the exact function; model and box in float64."""

    @abstractmethod
    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """Rigorous margins_BK of the program that model runs, in the dtype it runs in."""

    def sweep(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        radii: Sequence[Fraction],
        clip: bool,
    ) -> Iterator[Margins]:
        """Margins at each eps; a bound that has them in closed form overrides this.

        Args:
            model, model64: the deployed model, and its weights in float64.
        """
        for eps in radii:
            small, large = box(x_BCHW, eps, clip), box(x_BCHW.double(), eps, clip)
            yield Margins(
                self(model, small, y_B),
                self.real(model64, large, y_B),
                self.deployed(model, small, y_B),
            )


class PropagatedBound(Bound):
    """A bound that goes along a net's steps.

    In train mode a BatchNorm has the statistics of the box's centre, and counts them.
    """

    @abstractmethod
    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        """margins_BK of the exact net, differentiable where the reach is read as NAIVE.

        Losses call it with one reach for all that they read of a box.
        """

    def __call__(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        steps, _ = steps_of(model, box.x_BCHW if model.training else None)
        return self.margins(Reach(steps, (box.lower_BCHW, box.upper_BCHW)), y_B)


bounds: Registry[type[Bound]] = Registry("bound", "zoo.bounds", see="zoo certify --help")
