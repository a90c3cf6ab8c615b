"""Random projections: the ends of a zonotope estimated, without its symbols.

A zonotope c + sum_k e_k E_k, |e_k| <= 1, has half-widths sum_k |E_k|. With R_k independent and
standard Cauchy, sum_k R_k E_k is Cauchy with just this scale, so that the median of its size over
some draws estimates it (Li et al. 2007; Wong et al. 2018, arXiv:1805.12514, for the dual of CAP).
Draws pass through linear layers as images do: so many forward passes, however many symbols.

An estimate is no bound: about half of all half-widths come out too small.

Shapes: B batch, J draws, S rows, K classes; ``...`` the shape of a value without its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.propagation.steps import Step
from zoo.relaxations import Relaxation, lines
from zoo.rounding import Affine, Ends, Zonotope
from zoo.rules import enclose


@dataclass(frozen=True)
class Projected:
    """A zonotope of unknown symbols.

    Attributes:
        centre: (B, ...).
        draws: sum_k R_jk E_k, (J, B, ...).
    """

    centre: Tensor
    draws: Tensor

    @staticmethod
    def of_symbols(centre: Tensor, radius: Tensor, num_draws: int) -> Projected:
        """One symbol of its own for each entry; images share the draws of an entry."""
        draws = torch.empty(num_draws, 1, *centre.shape[1:]).to(centre).cauchy_()
        return Projected(centre, draws * radius)

    @property
    def radius(self) -> Tensor:
        """Estimated half-widths."""
        return self.draws.abs().median(0).values

    def ends(self) -> Ends:
        """Estimated ends."""
        return self.centre - self.radius, self.centre + self.radius

    def least(self, rows_BSK: Tensor) -> Tensor:
        """Estimates (B, S) of the least <row, value>, for values of shape (B, K)."""
        centre_BS = torch.einsum("bsk,bk->bs", rows_BSK, self.centre)
        draws_JBS = torch.einsum("bsk,jbk->jbs", rows_BSK, self.draws)
        return centre_BS - draws_JBS.abs().median(0).values

    def after(self, affine: Affine) -> Projected:
        """The image under an affine layer."""
        flat = rearrange(self.draws, "j b ... -> (j b) ...")
        moved = affine.product(flat, affine.weight)
        draws = rearrange(moved, "(j b) ... -> j b ...", j=len(self.draws))
        return Projected(affine.centre(self.centre), draws)

    def relaxed(self, relaxation: Relaxation) -> Projected:
        """Around the ReLU of each entry: its parallel lines, and a symbol for what lies between."""
        found = lines(relaxation(*self.ends()), *self.ends())
        slope, low, high = found.lower_slope, found.lower_offset, found.upper_offset
        fresh = Projected.of_symbols((low + high) / 2, (high - low) / 2, len(self.draws))
        return Projected(slope * self.centre + fresh.centre, slope * self.draws + fresh.draws)


def project(steps: Sequence[Step], box: Ends, relaxation: Relaxation, num_draws: int) -> Projected:
    """The logits over the box.

    Args:
        relaxation: one whose lines are parallel.

    Raises:
        UsageError: a step that is neither linear nor a ReLU.
    """
    lower, upper = box
    values = [Projected.of_symbols((lower + upper) / 2, (upper - lower) / 2, num_draws)]
    for step in steps:
        taken = [values[j] for j in step.inputs]
        if step.affine is not None:
            values.append(taken[0].after(step.affine))
        elif type(step.layer) is nn.ReLU:
            values.append(taken[0].relaxed(relaxation))
        elif step.linear:
            values.append(_linear_image(step.layer, taken))
        else:
            raise UsageError(
                f"layer {type(step.layer).__name__} has no random projections: its lines have two "
                "slopes, and what is drawn goes on by one\n  train with another bound"
            )
    return values[-1]


def _linear_image(layer: nn.Module, taken: Sequence[Projected]) -> Projected:
    """Draws are mixtures of symbols, and go through what is linear as symbols do."""
    mixtures = [
        Zonotope(z.centre, torch.zeros_like(z.centre), rearrange(z.draws, "j b ... -> b j ..."))
        for z in taken
    ]
    made = enclose(layer, mixtures, [], None, None)
    return Projected(made.centre, rearrange(made.symbols, "b j ... -> j b ..."))
