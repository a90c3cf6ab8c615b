"""Pull rule: linear forms over a layer's output as linear forms over its inputs, from below.

``pull(layer, rows, ends, relax, ledger) -> Pulled``: for each row c over the output y, rows c' over
the inputs x and a constant d with <c, y> >= <c', x> + d for all x in their ends. Affine layers need
none: zoo.rules.affine says all of it.

Shapes: B batch, S rows; ``...`` the shape of an input or output without its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.ops import pull_lines
from zoo.relaxations import Slopes, lines
from zoo.rounding import Affine, Ends, largest
from zoo.rounding.backward import Ledger
from zoo.rules.dispatch import SEVERAL, Rule

Relax = Callable[[Tensor, Tensor], Slopes]


class Pulled(NamedTuple):
    """Rows over each input, (B, S, ...), and their constant, (B, S)."""

    rows: Sequence[Tensor]
    constant_BS: Tensor


pull: Rule[..., Pulled] = Rule("pull", SEVERAL)
# Layers with this rule whose forms equal those they came from: nothing is lost on the way.
linear: set[type[nn.Module]] = set()

PullRule = Callable[..., Pulled]


def enter_linear(*kinds: type[nn.Module]) -> Callable[[PullRule], PullRule]:
    """Decorator: the pull rule of layers that are affine, if not a product with a weight."""

    def enter(function: PullRule) -> PullRule:
        linear.update(kinds)
        return pull.register(*kinds)(function)

    return enter


@pull.register(nn.ReLU)
def _(layer: nn.ReLU, rows: Tensor, ends: Sequence[Ends], relax: Relax, ledger: Ledger) -> Pulled:
    """A coefficient takes the lower line where it is positive, and the upper where negative.

    Slopes of shape (B, ...) serve all rows; those with an axis of rows, (B, S, ...), one each.
    """
    ((lower, upper),) = ends
    slopes = relax(lower, upper)
    if slopes.lower.ndim == lower.ndim:
        slopes = Slopes(*(slope[:, None] for slope in slopes))
    lower, upper = lower[:, None], upper[:, None]
    found = lines(slopes, lower, upper, rigorous=ledger.rigorous)
    if ledger.rigorous:
        slope = torch.maximum(found.lower_slope.abs(), found.upper_slope.abs())
        offset = torch.maximum(found.lower_offset.abs(), found.upper_offset.abs())
        ledger.record(rows, offset + slope * largest(lower, upper))
    # Slopes of one line may be a row's own, and those of the other all rows'.
    flat = (rearrange(t, "b t ... -> b t (...)") for t in torch.broadcast_tensors(*found))
    pulled_BSD, constant_BS = pull_lines(rearrange(rows, "b s ... -> b s (...)"), *flat)
    return Pulled([pulled_BSD.view_as(rows)], constant_BS)


def pull_affine(affine: Affine, rows: Tensor, ends: Ends, ledger: Ledger) -> Pulled:
    """The same of an affine layer, exactly: W^T c and <c, b>."""
    flat = affine.pull(rearrange(rows, "b s ... -> (b s) ..."), ends[0].shape[1:])
    pulled = rearrange(flat, "(b s) ... -> b s ...", s=rows.shape[1])
    constant_BS = rows.new_zeros(rows.shape[:2])
    if affine.bias is not None:
        bias_D = affine.bias.expand(rows.shape[2:]).flatten()
        constant_BS = rearrange(rows, "b s ... -> b s (...)") @ bias_D
    if ledger.rigorous:
        # SOUND: an entry of the transposed product has no more terms than there are outputs; the
        # weights may be rounded too, which num_terms counts.
        ledger.record(rows, affine.magnitude(largest(*ends))[:, None], affine.num_terms)
    return Pulled([pulled], constant_BS)
