"""View: what the terms of a loss share of one batch.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from zoo.errors import UsageError

if TYPE_CHECKING:  # recipes are checked without torch
    from torch import Tensor, nn

    from zoo.propagation import Reach, Step
    from zoo.rounding import Ends


class View:
    """A batch, the box of radius eps around each image in [0, 1], and a net's values on both.

    All is computed when first asked for, and once: what no term reads costs nothing. The net runs
    in the mode that it is in. In train mode a BatchNorm has the clean batch's statistics for all
    else too, and counts them once.

    Args:
        eps: in pixel units; None where no term looks at a box.
    """

    def __init__(self, model: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps: float | None = None):
        self.model, self.x_BCHW, self.y_B, self.eps = model, x_BCHW, y_B, eps
        self._clean = _Clean(model, x_BCHW)
        self._margins: dict[str, Tensor] = {}
        self._others: dict[float, View] = {}

    def at(self, eps: float) -> View:
        """The same batch and net, over boxes of another radius."""
        if eps == self.eps:
            return self
        if eps not in self._others:
            other = View(self.model, self.x_BCHW, self.y_B, eps)
            other._clean = self._clean
            self._others[eps] = other
        return self._others[eps]

    @property
    def logits_BK(self) -> Tensor:
        """Of the clean batch."""
        return self._clean.logits_BK

    @property
    def counted_BK(self) -> Tensor:
        """The same to count by: without a graph, unless a term or the net's statistics have one."""
        import torch

        if self._clean.with_steps or "logits_BK" in vars(self._clean):
            return self.logits_BK
        from zoo.inputs import logits_of

        with torch.no_grad():
            return logits_of(self.model, self.x_BCHW)

    @property
    def steps(self) -> list[Step]:
        """Of the net, affine forms with the clean batch's statistics."""
        return self._clean.steps

    @cached_property
    def reach(self) -> Reach:
        """The net over the box."""
        from zoo.boxes import naive_ends
        from zoo.propagation import Reach

        assert self.eps is not None, "a term that looks at a box says so: Term.bounded"
        return Reach(self.steps, naive_ends(self.x_BCHW, self.eps))

    @property
    def relu_ends(self) -> list[Ends]:
        """Ends by intervals of what each ReLU takes, in order."""
        from zoo.propagation.slopes import relu_inputs

        return list(relu_inputs(self.reach.steps, self.reach.ends).values())

    def margins_BK(self, bound: str) -> Tensor:
        """What a bound proves over the box, column y 0.

        Raises:
            UsageError: a bound that does not go along a net's steps.
        """
        from zoo.bounds import PropagatedBound, create_bound

        if bound not in self._margins:
            built = create_bound(bound)
            if not isinstance(built, PropagatedBound):
                raise UsageError(
                    f"bound {bound} has no margins in train mode: it reads a constant of the net\n"
                    "  train with interval, crown_ibp or another of docs/bounds.md"
                )
            self._margins[bound] = built.margins(self.reach, self.y_B)
        return self._margins[bound]

    def logits_at(self, x_BCHW: Tensor) -> Tensor:
        """Logits of other images, by the same function: nothing is counted in any statistics."""
        from torch.func import functional_call

        from zoo.inputs import fitting
        from zoo.propagation import run

        if self._clean.with_steps:
            return run(self.steps, x_BCHW)
        copies = {name: tensor.clone() for name, tensor in self.model.named_buffers()}
        with fitting(self.model, [x_BCHW], x_BCHW):
            return functional_call(self.model, copies, (x_BCHW,))


class _Clean:
    """Steps of a net and its clean logits: from one pass where both have a batch's statistics.

    Elsewhere they come apart, so that logits that no loss reads need no graph.
    """

    def __init__(self, model: nn.Module, x_BCHW: Tensor):
        from zoo.propagation import takes_batch_statistics

        self._model, self._x_BCHW = model, x_BCHW
        self.with_steps = takes_batch_statistics(model)

    @cached_property
    def _both(self) -> tuple[list[Step], Tensor]:
        from zoo.propagation import steps_of

        steps, logits_BK = steps_of(self._model, self._x_BCHW)
        assert logits_BK is not None
        return steps, logits_BK

    @cached_property
    def steps(self) -> list[Step]:
        from zoo.propagation import steps_of

        return self._both[0] if self.with_steps else steps_of(self._model)[0]

    @cached_property
    def logits_BK(self) -> Tensor:
        from zoo.inputs import logits_of

        return self._both[1] if self.with_steps else logits_of(self._model, self._x_BCHW)
