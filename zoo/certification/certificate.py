"""A certificate: what is proved about each image of a batch at one eps.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from zoo.errors import FalsifiedError


@dataclass(frozen=True)
class Certificate:
    """Verdicts at one eps.

    Attributes:
        eps: radius in pixel units, exact.
        bound: name of the bound that proved it.
        clip: whether the box was cut to [0, 1].
        numerics: the rounding settings it was proved under (zoo.rounding.snapshot).
        labels_B: true labels.
        logits_BK: what the deployed program gave for the images themselves.
        preds_B: the deployed program's class; -1 where two logits tie for the largest.
        naive_B: the bound is positive with rounding ignored, as papers count.
        real_B: proved (A) for the exact function of the stored weights on the real box.
        deployed_B: proved (B) for the program as it runs, on every float image in the box.
        margin_B: the smaller of the two rigorous lower bounds on the worst margin, in logits.
        slack_B: how far rounding pushed that below the naive bound.
        radius_B: largest eps that the bound proves for this image, or None if it cannot tell.
    """

    eps: Fraction
    bound: str
    clip: bool
    numerics: dict[str, Any]
    labels_B: Tensor
    logits_BK: Tensor
    preds_B: Tensor
    naive_B: Tensor
    real_B: Tensor
    deployed_B: Tensor
    margin_B: Tensor
    slack_B: Tensor
    radius_B: Tensor | None

    def __post_init__(self) -> None:
        # SOUND: a proof about a box holds at its centre, so it cannot speak for a wrong class.
        if bool((self.deployed_B & ~self.clean_B).any()):
            raise FalsifiedError(
                f"bound {self.bound} certified an image that the model misclassifies\n"
                "  this is a soundness bug: please report it with the command that showed it"
            )

    @property
    def clean_B(self) -> Tensor:
        """Classified correctly, with no tie."""
        return self.preds_B == self.labels_B

    @property
    def certified_B(self) -> Tensor:
        """Proved in both senses: A and B."""
        return self.real_B & self.deployed_B

    def status(self, falsified_B: Tensor) -> list[str]:
        """certified, falsified, unknown or misclassified, one a image."""
        names = []
        for certified, falsified, clean in zip(
            self.certified_B.tolist(), falsified_B.tolist(), self.clean_B.tolist(), strict=True
        ):
            if not clean:
                names.append("misclassified")
            elif certified:
                names.append("certified")
            else:
                names.append("falsified" if falsified else "unknown")
        return names

    @staticmethod
    def cat(parts: Sequence[Certificate]) -> Certificate:
        """One certificate for the images of several, in order."""
        first = parts[0]
        assert all(part.numerics == first.numerics for part in parts), "one arithmetic for all"
        radius = None
        if first.radius_B is not None:
            radius = torch.cat([part.radius_B for part in parts if part.radius_B is not None])
        tensors = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name, value in vars(first).items()
            if isinstance(value, Tensor) and name != "radius_B"
        }
        return replace(first, radius_B=radius, **tensors)
