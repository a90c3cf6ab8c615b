"""Steps: a net taken apart into layers in the order in which they run.

Shapes: tensors have the shape of a step's input or output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.inputs import fitting
from zoo.rounding import Affine, Ends, Reading
from zoo.rules import interval
from zoo.rules.affine import affine, bounded_as_affine
from zoo.rules.expand import expand
from zoo.rules.pull import linear


@dataclass(frozen=True)
class Step:
    """One layer of a net. Step i makes value i + 1, and value 0 is the image.

    Attributes:
        inputs: numbers of the values that it takes.
        affine: what it is, where it is affine.
    """

    layer: nn.Module
    inputs: tuple[int, ...]
    affine: Affine | None = None

    @property
    def linear(self) -> bool:
        """Whether linear forms pass it without loss."""
        return self.affine is not None or type(self.layer) in linear

    def to(self, dtype: torch.dtype) -> Step:
        """The same step with its weights in a dtype."""
        return self if self.affine is None else replace(self, affine=self.affine.to(dtype))

    def interval(self, ends: Sequence[Ends], reading: Reading) -> Ends:
        """Ends of the value that it makes, from those of its inputs."""
        # In train mode a layer's statistics are those that its affine form holds.
        if self.affine is not None and type(self.layer) in bounded_as_affine:
            return reading.affine(self.affine, *ends[0])
        return interval(self.layer, *(end for pair in ends for end in pair), reading)


def steps_of(model: nn.Module, x: Tensor | None = None) -> tuple[list[Step], Tensor | None]:
    """Steps of a net, and its logits on a clean batch if one is given.

    With a batch each layer runs once, in the mode it is in: a BatchNorm in train mode counts it in
    its running statistics, and its affine form has those of this batch.

    Raises:
        UsageError: a layer without rules, one that needs a clean batch, or that x does not fit.
    """
    steps: list[Step] = []
    values: list[Tensor | None] = [x]

    def add(layer: nn.Module, inputs: Sequence[int]) -> int:
        if layer in expand:
            (only,) = inputs
            return expand(layer, add, only)
        taken = [values[i] for i in inputs]
        known = affine(layer, taken[0]) if layer in affine else None
        steps.append(Step(layer, tuple(inputs), known))
        if x is None:
            values.append(None)
        else:
            with fitting(layer, [value for value in taken if value is not None], x):
                values.append(layer(*taken))
        return len(steps)

    last = add(model, [0])
    assert last == len(steps), "the last step makes the logits"
    return steps, values[-1]


def takes_batch_statistics(model: nn.Module) -> bool:
    """Whether bounds on the net need a clean batch: a BatchNorm has its statistics, not its own."""
    norms = (layer for layer in model.modules() if isinstance(layer, _BatchNorm))
    return any(norm.training or norm.running_mean is None for norm in norms)


def run(steps: Sequence[Step], x: Tensor) -> Tensor:
    """The last value that the steps make of images, by their affine forms where they have one."""
    values = [x]
    for step in steps:
        taken = [values[i] for i in step.inputs]
        values.append(step.layer(*taken) if step.affine is None else step.affine.centre(*taken))
    return values[-1]
