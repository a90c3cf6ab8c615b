"""Layers whose outputs each follow one entry of their input: a maximum over a window, a distance.

Such a layer says which entry, and between which lines; what backward bounds and zonotopes make of
it follows.

Shapes: B batch, S rows of forms, D entries of the input, O of the output; ``...`` an input or an
output without its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.rounding import NAIVE, REAL, Ends, Remainder, Zonotope, largest
from zoo.rounding.backward import Ledger
from zoo.rules.enclose import enclose
from zoo.rules.interval import interval
from zoo.rules.pull import Pulled, Relax, pull


class Picks(NamedTuple):
    """Lines around outputs that each follow one entry of their input.

    lower_slope x_at + lower_offset <= y <= upper_slope x_at + upper_offset, slopes of -1, 0 or 1.
    Where both lines are one, the output is that entry whatever the input.

    Attributes:
        at: which entry, (B, O), counted in the flattened input.
    """

    at: Tensor
    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor

    @staticmethod
    def level(lower: Tensor, upper: Tensor) -> Picks:
        """Of outputs that follow no entry: their ends, whatever the input."""
        low_BO, high_BO = lower.flatten(1), upper.flatten(1)
        none_BO = torch.zeros_like(low_BO)
        return Picks(none_BO.long(), none_BO, low_BO, none_BO, high_BO)

    def mirrored(self) -> Picks:
        """Of -f(-x), where these are f's over [-upper, -lower]."""
        return Picks(
            self.at, self.upper_slope, -self.upper_offset, self.lower_slope, -self.lower_offset
        )


# From the layer, the ends of its input, and whether offsets must hold whatever is rounded.
PicksRule = Callable[..., Picks]


def enter_picks(*kinds: type[nn.Module]) -> Callable[[PicksRule], PicksRule]:
    """Decorator: the picks of these layer types, and by them their pull and enclose rules."""

    def enter(function: PicksRule) -> PicksRule:
        @pull.register(*kinds)
        def _(
            layer: nn.Module, rows: Tensor, ends: Sequence[Ends], relax: Relax, ledger: Ledger
        ) -> Pulled:
            (own,) = ends
            return pull_picks(function(layer, own, ledger.rigorous), rows, own, ledger)

        @enclose.register(*kinds)
        def _(
            layer: nn.Module,
            zonotopes: Sequence[Zonotope],
            ends: Sequence[Ends],
            relax: Relax,
            remainder: Remainder,
        ) -> Zonotope:
            (zonotope,), (own,) = zonotopes, ends
            out = interval(layer, *own, REAL if zonotope.rigorous else NAIVE)
            picks = function(layer, own, zonotope.rigorous)
            return enclose_picks(picks, zonotope, out, remainder)

        return function

    return enter


def pull_picks(picks: Picks, rows: Tensor, ends: Ends, ledger: Ledger) -> Pulled:
    """Rows (B, S, ...) over the outputs as rows (B, S, ...) over the input."""
    rows_BSO = rearrange(rows, "b s ... -> b s (...)")
    at, *found = (each[:, None] for each in picks)
    lower_slope, lower_offset, upper_slope, upper_offset = found
    positive = rows_BSO > 0
    slope = torch.where(positive, lower_slope, upper_slope)
    offset = torch.where(positive, lower_offset, upper_offset)
    size_BD = largest(*ends).flatten(1)
    if ledger.rigorous:
        # SOUND: one entry may be picked by all outputs.
        size = size_BD.gather(1, picks.at)[:, None] * slope.abs() + offset.abs()
        ledger.record(rows_BSO, size, rows_BSO.shape[2])
    pulled_BSD = rows_BSO.new_zeros(*rows_BSO.shape[:2], size_BD.shape[1])
    pulled_BSD = pulled_BSD.scatter_add(2, at.expand_as(rows_BSO), rows_BSO * slope)
    pulled = pulled_BSD.view(*rows.shape[:2], *ends[0].shape[1:])
    return Pulled([pulled], (rows_BSO * offset).sum(2))


def enclose_picks(picks: Picks, zonotope: Zonotope, out: Ends, remainder: Remainder) -> Zonotope:
    """The entries that are outputs, and of the others their ends.

    Args:
        out: ends of the output.
    """
    at_BO, *_ = picks
    low, high = (end.flatten(1) for end in out)
    # SOUND: an entry's box part goes to each output that picks it, as if it were one of its own.
    taken = Zonotope(
        zonotope.centre.flatten(1).gather(1, at_BO),
        zonotope.radius.flatten(1).gather(1, at_BO),
        _gathered(zonotope.symbols.flatten(2), at_BO),
        zonotope.rigorous,
    )
    # SOUND: written so that NaN is no line.
    same = (picks.lower_slope == picks.upper_slope) & (picks.lower_offset == picks.upper_offset)
    made = taken.band(
        torch.where(same, picks.lower_slope, 0),
        torch.where(same, picks.lower_offset, low),
        torch.where(same, picks.upper_offset, high),
        ~same,
        remainder,
    )
    shape = out[0].shape[1:]
    return Zonotope(
        made.centre.unflatten(1, shape),
        made.radius.unflatten(1, shape),
        made.symbols.unflatten(2, shape),
        made.rigorous,
    )


def _gathered(symbols_BMD: Tensor, at_BO: Tensor) -> Tensor:
    at_BMO = at_BO[:, None].expand(-1, symbols_BMD.shape[1], -1)
    return symbols_BMD.gather(2, at_BMO)
