"""Best: what the best of several bounds proves, image by image and class by class.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.bounds.base import Margins, PropagatedBound, bounds
from zoo.bounds.create import create_bound
from zoo.boxes import Box
from zoo.errors import UsageError
from zoo.propagation import Reach


@bounds.register("best")
class Best(PropagatedBound):
    """margins_bk = the largest of those that cheap bounds give, each reading by itself.

    No one of them is above all others on every net: adaptive lines lose to intervals on nets that
    were trained with intervals. The largest of several lower bounds is one, and so is the only
    number of those that are numbers.

    Attributes:
        members: names of the bounds, which go along a net's steps.

    Raises:
        UsageError: a member is an estimate.
    """

    name = "best"
    members: ClassVar[Sequence[str]] = ("interval", "crown_ibp", "crown_ibp_zero", "cap_ibp")

    def __init__(self) -> None:
        self.bounds: list[PropagatedBound] = []
        for name in self.members:
            bound = create_bound(name)
            # SOUND: one estimate among them would make all of it an estimate.
            if not bound.sound:
                raise UsageError(f"bound {self.name}: its member {bound.name} is an estimate")
            assert isinstance(bound, PropagatedBound)
            self.bounds.append(bound)
        self.repeatable = all(bound.repeatable for bound in self.bounds)

    def margins(self, reach: Reach, y_B: Tensor) -> Tensor:
        return _largest([bound.margins(reach, y_B) for bound in self.bounds])

    def real(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return _largest([bound.real(model, box, y_B) for bound in self.bounds])

    def deployed(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        return _largest([bound.deployed(model, box, y_B) for bound in self.bounds])

    def forms(self, reach: Reach) -> int:
        return max(bound.forms(reach) for bound in self.bounds)

    def at(
        self,
        model: nn.Module,
        model64: nn.Module,
        x_BCHW: Tensor,
        y_B: Tensor,
        eps: Fraction,
        clip: bool,
    ) -> Margins:
        found = [bound.at(model, model64, x_BCHW, y_B, eps, clip) for bound in self.bounds]
        # SOUND: A and B are different claims, and neither may lend to the other.
        return Margins.joined(found, _largest)


def _largest(margins: Sequence[Tensor]) -> Tensor:
    # NaN says nothing, and where it is all that there is it stays.
    return reduce(torch.fmax, margins)
