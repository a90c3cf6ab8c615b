"""Which images a step trains on, and how they are augmented: a pure function of recipe and step.

Shapes: N images of the training split, B global batch, b this process's share of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.affine import Affine
from zoo.data.augment import Augment
from zoo.data.order import epoch_order
from zoo.data.pixels import Pixels
from zoo.data.seeds import epoch_generator
from zoo.errors import UsageError
from zoo.recipes import Recipe


class Batches:
    """The batches of a whole run; no state, so any step can be the first.

    Args:
        data: the training split, on the device.
        rank, num_processes: this process trains on the rank-th share of each batch.

    Raises:
        UsageError: a global batch that the data or the processes cannot share out.
    """

    def __init__(self, recipe: Recipe, data: Pixels, rank: int = 0, num_processes: int = 1):
        size = recipe.batch_size
        if size > len(data):
            raise UsageError(
                f"batch_size {size} exceeds the {len(data)} images of {recipe.data}\n"
                f"  give batch_size={len(data)} or less"
            )
        if size % num_processes:
            raise UsageError(
                f"batch_size {size} is not a multiple of the {num_processes} processes\n"
                "  it is the global batch: choose a multiple"
            )
        self.steps_per_epoch = len(data) // size
        self.num_steps = recipe.epochs * self.steps_per_epoch
        self.share = size // num_processes
        self._recipe, self._data, self._rank = recipe, data, rank
        self._affine = Affine(**recipe.augment.affine.model_dump())
        self._crop = Augment(recipe.augment.pad, recipe.augment.flip)
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def knobs(self, step: int) -> dict[str, float]:
        """Value of each schedule at a step, counted from 0."""
        return self._recipe.schedules.at(step / self.num_steps)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Augmented x_bCHW in [0, 1] and y_b; the ragged rest of an epoch is left out."""
        epoch, i = divmod(step, self.steps_per_epoch)
        first = i * self._recipe.batch_size + self._rank * self.share
        idx_b = self._order_N(epoch)[first : first + self.share]
        x_bCHW, y_b = self._data.batch(idx_b)
        draws = {"seed": self._recipe.seed, "epoch": epoch, "n": len(self._data)}
        return self._crop(self._affine(x_bCHW, idx_b, **draws), idx_b, **draws), y_b

    def seed_global(self, step: int) -> None:
        """Make what layers draw from torch's global generator (dropout) a function of the step."""
        generator = epoch_generator(self._recipe.seed, step, f"step{self._rank}")
        torch.manual_seed(generator.initial_seed())

    def _order_N(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            self._order = epoch, epoch_order(self._recipe.seed, epoch, len(self._data))
        return self._order[1]
