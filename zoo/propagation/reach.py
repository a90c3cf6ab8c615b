"""Reach: a net over one box, and the ends of its values that several bounds and losses read.

Shapes: tensors have the shape of a value, with the batch; K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from zoo.inputs import classes_of
from zoo.propagation.ends import interval_ends
from zoo.propagation.steps import Step
from zoo.rounding import NAIVE, Affine, Ends, Reading


class Reach:
    """The steps of a net and a box of images; ends by intervals when first asked for, and once.

    Args:
        box: ends of the images.
        reading: in which ends hold; with NAIVE they are differentiable, and rounding is ignored.
    """

    def __init__(self, steps: Sequence[Step], box: Ends, reading: Reading = NAIVE):
        self.steps, self.box, self.reading = steps, box, reading

    @cached_property
    def ends(self) -> list[Ends]:
        """Ends of all values, the box first and the logits last."""
        return interval_ends(self.steps, self.box, self.reading)

    @property
    def rigorous(self) -> bool:
        """Whether what follows from it must hold whatever is rounded on the way."""
        return self.reading is not NAIVE

    @property
    def last(self) -> Affine | None:
        """The last layer where it is fully connected: differences of its outputs are affine too."""
        affine = self.steps[-1].affine if self.steps else None
        return affine if affine is not None and affine.fully_connected else None

    @property
    def num_classes(self) -> int:
        """K; of one image, where no ends are known yet.

        Raises:
            UsageError: logits that are not (B, K), or a single class.
        """
        if "ends" in vars(self):
            return classes_of(self.ends[-1][0].shape)
        with torch.no_grad():
            return classes_of(self.one.ends[-1][0].shape)

    @cached_property
    def one(self) -> Reach:
        """The same net over the first image's box, which tells shapes."""
        lower, upper = self.box
        return Reach(self.steps, (lower[:1], upper[:1]))
