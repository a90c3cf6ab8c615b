"""Which weights a run keeps: the last, or the best on validation images. Never on test images.

Shapes: N validation images, B batch, K classes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.bounds import bounds
from zoo.boxes import box
from zoo.data.pixels import Pixels
from zoo.layers import exponent
from zoo.margins import margins_of, worst
from zoo.recipes import Recipe

_BATCH = 512


@torch.no_grad()
def validate(model: nn.Module, data: Pixels, recipe: Recipe) -> tuple[float, float]:
    """Clean and certified accuracy in percent, of the net as it would be at p = inf.

    Rounding is ignored here: this guides a run, it is no claim.
    """
    bound, was_training = bounds[recipe.bound](), model.training
    model.eval()
    clean = certified = 0
    with exponent(model, math.inf):
        for idx_B in torch.arange(len(data)).split(_BATCH):
            x_BCHW, y_B = data.batch(idx_B)
            clean += int((worst(margins_of(model(x_BCHW), y_B), y_B) > 0).sum())
            margins_BK = bound(model, box(x_BCHW, recipe.eps), y_B)
            certified += int((worst(margins_BK, y_B) > 0).sum())
    model.train(was_training)
    return 100 * clean / len(data), 100 * certified / len(data)


@dataclass
class Selection:
    """Keeps a copy of the weights that the recipe selects.

    Attributes:
        rule: "last", or "best" by certified validation accuracy; among equals the later one.
        epoch: the epoch whose weights are kept.
    """

    rule: Literal["last", "best"]
    epoch: int = 0
    certified: float = -math.inf
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, model: nn.Module, certified: float, epoch: int, *, last: bool) -> None:
        """Consider the weights of one epoch."""
        if last if self.rule == "last" else certified >= self.certified:
            self.epoch, self.certified = epoch, certified
            self.state = copy.deepcopy(model.state_dict())
