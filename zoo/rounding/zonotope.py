"""Zonotopes: centre, box part and shared symbols, and what rounding adds to the box part.

A zonotope encloses one value of a net over a box of images,

    { c + r e_0 + sum_m E_m e_m :  all |e| <= 1 }                       (Singh et al. 2018, DeepZ)

e_0 has a number of its own for each entry, and symbols e_m are shared by all entries and all values
of a net: so what cancels between them is kept. The numbers c, r, E are meant exactly: for each real
image of the box there are symbols with which every zonotope holds the exact value. Where numbers
are rounded, r is widened by what that may take from the set. With n products a sum, M symbols,
X >= |c| + r + sum_m |E_m| the sizes of the entries, and u the unit roundoff, to first order (Higham
2002, §3.1):

- y = W x + b. W c + b is off by (n + 1) u (|W| |c| + |b|), W E_m by n u |W| |E_m|, |W| r by
  n u |W| r, and widening rounds once more: (n + 2) u T in all, T = |W| X + |b|.
- A band s x + [t, t'] with the middle m and half-width h: c' rounds twice, s E_m, s r and h once,
  and what is added to r twice: 4 u (|s| X + |m| + h) in all.
- Ends c -+ (r + sum_m |E_m|): M + 2 sums, (M + 2) u X.
- A sum of two zonotopes: u X for each c, r and E, and once more: 2 u X.

X and T are sums themselves, of at most M + 2 and n more terms, which is of second order. Each error
is taken with 2 u more and the factor 1.02, while (n + M + 8) u <= 0.005; the products that may
underflow are counted apart.

Shapes: tensors have the shape of a value, with the batch; B batch, M symbols, D entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from einops import rearrange, reduce
from torch import Tensor

from zoo.errors import UsageError
from zoo.rounding.affine import Affine
from zoo.rounding.directed import Ends, mid_rad
from zoo.rounding.unit import smallest_normal, unit_roundoff


@dataclass(frozen=True)
class Zonotope:
    """One value of a net, see above.

    Attributes:
        centre, radius: c and r, (B, ...).
        symbols: E, (B, M, ...). Each image has symbols of its own, under the same numbers.
        rigorous: whether r covers rounding.
    """

    centre: Tensor
    radius: Tensor
    symbols: Tensor
    rigorous: bool = False

    @staticmethod
    def of_box(lower: Tensor, upper: Tensor, *, rigorous: bool = False) -> Zonotope:
        """A symbol for each entry that is more than a point."""
        mid, radius = mid_rad(lower, upper)
        # SOUND: written so that NaN stays.
        own = Zonotope(mid, torch.zeros_like(mid), packed(radius, ~(radius == 0)), rigorous)
        return own.widened(0, lambda: radius)

    @property
    def size(self) -> Tensor:
        """X, at least the size of anything in it."""
        return self.centre.abs() + self.spread

    @property
    def spread(self) -> Tensor:
        """Half-widths of its entries."""
        return self.radius + reduce(self.symbols.abs(), "b m ... -> b ...", "sum")

    @property
    def ends(self) -> Ends:
        """The smallest and largest value of each entry."""
        spread = self.spread
        if self.rigorous:
            slack = self._slack(self.symbols.shape[1] + 2, self.centre.abs() + spread)
            spread = spread + slack
        return self.centre - spread, self.centre + spread

    def affine(self, layer: Affine) -> Zonotope:
        """Its image under an affine layer: exact, but for rounding."""
        centre = layer.centre(self.centre)
        symbols = centre.new_zeros(len(centre), 0, *centre.shape[1:])
        if self.symbols.shape[1]:
            flat = layer.product(rearrange(self.symbols, "b m ... -> (b m) ..."), layer.weight)
            symbols = rearrange(flat, "(b m) ... -> b m ...", b=len(centre))
        made = Zonotope(centre, layer.radius(self.radius), symbols, self.rigorous)
        # SOUND: weights may be rounded too, which num_terms counts.
        return made.widened(layer.num_terms + 2, lambda: layer.magnitude(self.size))

    def band(
        self, slope: Tensor, lower: Tensor, upper: Tensor, bent: Tensor, remainder: Remainder
    ) -> Zonotope:
        """All s x + t with t in [lower, upper], where offsets hold exactly.

        Args:
            bent: neurons that are no line, whose t is a thing to keep track of.
            remainder: what becomes of t.
        """
        mid, half = mid_rad(lower, upper)
        moved = Zonotope(
            slope * self.centre + mid,
            slope.abs() * self.radius,
            slope[:, None] * self.symbols,
            self.rigorous,
        )
        made = remainder(moved, half, bent)
        return made.widened(4, lambda: slope.abs() * self.size + mid.abs() + half)

    def widened(self, num_units: int, size: Callable[[], Tensor]) -> Zonotope:
        """With the error of so many roundings of numbers of this size, if it is rigorous."""
        return self.boxed(self._slack(num_units, size())) if self.rigorous else self

    def boxed(self, half: Tensor | float) -> Zonotope:
        """With an interval of its own added to each entry."""
        return replace(self, radius=self.radius + half)

    def __add__(self, other: Zonotope) -> Zonotope:
        """Sum of two values of one net: what they share may cancel."""
        count = max(self.symbols.shape[1], other.symbols.shape[1])
        made = Zonotope(
            self.centre + other.centre,
            self.radius + other.radius,
            _padded(self.symbols, count) + _padded(other.symbols, count),
            self.rigorous,
        )
        return made.widened(2, lambda: self.size + other.size)

    @staticmethod
    def side_by_side(zonotopes: Sequence[Zonotope]) -> Zonotope:
        """Several values of one net as one, along the dimension behind the batch; exact."""
        count = max(each.symbols.shape[1] for each in zonotopes)
        return Zonotope(
            torch.cat([each.centre for each in zonotopes], 1),
            torch.cat([each.radius for each in zonotopes], 1),
            torch.cat([_padded(each.symbols, count) for each in zonotopes], 2),
            zonotopes[0].rigorous,
        )

    def _slack(self, num_units: int, size: Tensor) -> Tensor:
        unit, num_symbols = unit_roundoff(size.dtype), self.symbols.shape[1]
        if (num_units + num_symbols + 8) * unit > 0.005:
            raise UsageError(
                f"a zonotope of {num_symbols} symbols behind sums of {num_units} products in "
                f"{size.dtype} has no rounding bound here\n  certify in float64"
            )
        # SOUND: products that underflow lose more than a relative error.
        underflow = 2 * (num_units + 4) * (num_symbols + 4) * smallest_normal(size.dtype)
        return 1.02 * (num_units + 2) * unit * size + underflow


class Remainder(ABC):
    """What becomes of the half-widths of a band. One object serves one pass through a net."""

    grows: ClassVar[bool]  # whether there are more symbols afterwards

    @abstractmethod
    def __call__(self, zonotope: Zonotope, half: Tensor, bent: Tensor) -> Zonotope:
        """The zonotope with them; see Zonotope.band."""


class BoxPart(Remainder):
    """Into the box part: as many symbols as pixels, however deep the net (hybrid zonotopes)."""

    grows: ClassVar[bool] = False

    def __call__(self, zonotope: Zonotope, half: Tensor, bent: Tensor) -> Zonotope:
        return zonotope.boxed(half)


class NewSymbols(Remainder):
    """A new symbol for each bent neuron (pure zonotopes)."""

    grows: ClassVar[bool] = True

    def __init__(self) -> None:
        self.count = 0  # of all values so far

    def __call__(self, zonotope: Zonotope, half: Tensor, bent: Tensor) -> Zonotope:
        new = packed(half, bent)
        # SOUND: a number that another branch has used would tie what is independent.
        start = max(self.count, zonotope.symbols.shape[1])
        self.count = start + new.shape[1]
        symbols = torch.cat([_padded(zonotope.symbols, start), new], 1)
        # SOUND: rounding leaves other neurons a width too.
        return replace(zonotope, symbols=symbols).boxed(torch.where(bent, 0.0, half))


def packed(width: Tensor, chosen: Tensor) -> Tensor:
    """(B, M, ...): a symbol for each chosen entry, the first chosen entry of each image first."""
    chosen_BD, width_BD = (rearrange(t, "b ... -> b (...)") for t in (chosen, width))
    rank_BD = chosen_BD.cumsum(1) - 1
    count = int(chosen_BD.sum(1).max()) if len(chosen_BD) else 0
    symbols_BMD = width.new_zeros(len(width), count, width_BD.shape[1])
    b, d = chosen_BD.nonzero(as_tuple=True)
    symbols_BMD = symbols_BMD.index_put((b, rank_BD[b, d], d), width_BD[b, d])
    return symbols_BMD.unflatten(2, width.shape[1:])


def _padded(symbols: Tensor, count: int) -> Tensor:
    missing = count - symbols.shape[1]
    if not missing:
        return symbols
    none = symbols.new_zeros(len(symbols), missing, *symbols.shape[2:])
    return torch.cat([symbols, none], 1)
