"""What a relaxation is.

Shapes: tensors have the shape of the ReLU's input, with the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final, NamedTuple

from torch import Tensor

from zoo.registry import Registry


class Slopes(NamedTuple):
    """Slopes of a line below the ReLU and of one above it, for each neuron.

    One tensor for both where they are parallel: what a zonotope needs.
    """

    lower: Tensor
    upper: Tensor


class Relaxation(ABC):
    """Slopes of the lines that enclose max(z, 0) for z in [lower, upper].

    Attributes:
        sound: whether the lines enclose the ReLU. It holds of all: offsets follow from the slopes,
            whatever these are (zoo.relaxations.lines).
        continuous: whether offsets and slopes change continuously with the ends.
        rational: whether slopes are quotients of the ends, such as u / (u - l): products of these
            over the layers are what Jovanovic et al. 2022 (arXiv:2102.06700) call sensitive.
        parallel: whether both lines have one slope: a zonotope can use it.
        random: whether two calls may differ.
    """

    sound: Final = True
    continuous: ClassVar[bool]
    rational: ClassVar[bool]
    parallel: ClassVar[bool] = False
    random: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, lower: Tensor, upper: Tensor) -> Slopes:
        """Any numbers are sound; those that are not finite certify nothing."""


relaxations: Registry[type[Relaxation]] = Registry(
    "relaxation", "zoo.relaxations", see="docs/bounds.md#relaxations"
)
