"""Which weights a run keeps: the last, or the best on validation images. Never on test images.

Shapes: N validation images, B batch, K classes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.bounds import create_bound
from zoo.boxes import box
from zoo.data.pixels import Pixels
from zoo.halving import in_batches
from zoo.layers import exponent
from zoo.margins import margins_of, worst
from zoo.recipes import Recipe

_BATCH = 512


@torch.no_grad()
def validate(
    model: nn.Module, data: Pixels, recipe: Recipe, accelerator: Accelerator | None = None
) -> tuple[float, float]:
    """Clean and certified accuracy in percent, of the net as it would be at p = inf.

    Rounding is ignored here: this guides a run, it is no claim. Each process counts every n-th
    image, so that none is counted twice, and the counts are added up.
    """
    bound, was_training = create_bound(recipe.bound), model.training
    model.eval()
    rank, step = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    mine = torch.arange(rank, len(data), step)
    counts = torch.zeros(3, dtype=torch.int64, device=data.y_N.device)  # images, clean, certified

    def count(idx_B: Tensor) -> Tensor:
        x_BCHW, y_B = data.batch(mine[idx_B])
        clean_B = worst(margins_of(model(x_BCHW), y_B), y_B) > 0
        certified_B = worst(bound(model, box(x_BCHW, recipe.eps), y_B), y_B) > 0
        return torch.stack([torch.ones_like(clean_B).sum(), clean_B.sum(), certified_B.sum()])

    with exponent(model, math.inf):
        for _, of_batch in in_batches(len(mine), _BATCH, count):
            counts += of_batch
    model.train(was_training)
    if accelerator is not None:
        total = accelerator.reduce(counts, "sum")
        assert isinstance(total, Tensor)
        counts = total
    seen, clean, certified = counts.tolist()
    assert seen == len(data), "every image is counted once"
    return 100 * clean / seen, 100 * certified / seen


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
