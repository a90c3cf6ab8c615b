"""What an attack is, and the checks that every attack's result passes.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from zoo.boxes import Box, box
from zoo.eps import Eps
from zoo.errors import UsageError
from zoo.inputs import check_batch, check_labels, classes_of, logits_of
from zoo.registry import Registry


class Attack(ABC):
    """Looks for an image of the box that the model misclassifies."""

    @abstractmethod
    def run(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        """Candidates x_BCHW; the model is in eval mode and left as it was."""

    @abstractmethod
    def __str__(self) -> str:
        """Name and settings, for the rows of results."""

    @final
    def __call__(self, model: nn.Module, x_BCHW: Tensor, y_B: Tensor, radius: Eps, *, clip=True):
        """Candidates x_BCHW inside the real box, whatever `run` returned."""
        check_batch(model, x_BCHW, y_B)
        if model.training:
            raise UsageError("cannot attack a model in train mode; call model.eval() first")
        with torch.no_grad():
            logits_1K = logits_of(model, x_BCHW[:1])
        check_labels(y_B, x_BCHW, classes_of(logits_1K.shape))
        within = box(x_BCHW, radius, clip)
        adversarial_BCHW = self.run(model, within, y_B).detach()
        lower_BCHW, upper_BCHW = within.inner()
        return torch.minimum(torch.maximum(adversarial_BCHW, lower_BCHW), upper_BCHW)


attacks: Registry[type[Attack]] = Registry("attack", "zoo.attacks", see="zoo attack --help")


def attack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: Eps,
    *,
    method: str = "pgd",
    steps: int = 100,
    restarts: int = 1,
    seed: int = 0,
    clip: bool = True,
) -> Tensor:
    """Perturb images to be misclassified.

    Args:
        model: in eval mode; pixels go in raw.
        x: images (B, C, H, W) in [0, 1].
        y: labels (B,).
        eps: radius in pixel units.

    Returns:
        One image each, inside the ball and (with clip) inside [0, 1]: a misclassified one if any
        was found, else the one of smallest margin.

    Raises:
        UsageError: an unknown method, or settings or images that make no sense.
    """
    spec = {"name": method, "steps": steps, "restarts": restarts, "seed": seed}
    return attacks.build(spec)(model, x, y, eps, clip=clip)
