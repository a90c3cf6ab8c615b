"""Distillation: a trained net's opinion of each image, beside its label.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.recipes.schema import Teaching
from zoo.training.trained import find_trained


@dataclass(frozen=True)
class Teacher:
    """CE(s * f, softmax(sharpness * g)) for the logits f of a student and g of a teacher.

    Soft labels (Hinton et al. 2015, arXiv:1503.02531) of the images as the student sees them; s is
    trained beside the student.

    Attributes:
        net: in eval mode; nothing of it is trained, or saved with the student.
        sharpness: factor of its logits, which for distance nets are distances.
        sha256: of its weight file.
    """

    net: nn.Module
    sharpness: float
    sha256: str

    @classmethod
    def find(cls, teaching: Teaching, num_classes: int, device: torch.device) -> Teacher:
        """The teacher that a recipe names.

        Raises:
            NotFoundError, IntegrityError: as zoo.load.
            UsageError: one of other classes.
        """
        net, sha256 = find_trained(teaching.source)
        if getattr(net, "num_classes", num_classes) != num_classes:
            raise UsageError(
                f"teacher {teaching.source} knows {net.num_classes} classes, the data {num_classes}"
            )
        return cls(net.requires_grad_(False).to(device), teaching.sharpness, sha256)

    def loss(self, x_BCHW: Tensor, scaled_BK: Tensor) -> Tensor:
        """The student's logits, times s, against the soft labels."""
        with torch.no_grad():
            soft_BK = F.softmax(self.sharpness * self.net(x_BCHW), 1)
        return F.cross_entropy(scaled_BK, soft_BK)
