"""Forward zonotopes by their names in the literature.

Shapes: B batch, S = K - 1 rows, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoo.bounds.base import bounds
from zoo.bounds.stepwise import RelaxedBound, by_relaxation
from zoo.errors import UsageError
from zoo.propagation import Reach, Source, Step, symbol_entries, zonotope_bounds
from zoo.relaxations import Relaxation, relaxations
from zoo.rounding import BoxPart, Ends, NewSymbols, Remainder

# Numbers in the symbols of one value: 2 GiB in float64. Some three such tensors live at a time.
_LARGEST = 2**28


class ZonotopeBound(RelaxedBound):
    """margins_bk >= the least of a linear function of symbols in [-1, 1].

    The last layer is elided where it is affine. A batch whose symbols would take too much memory is
    taken in parts; in training all parts stay in memory.

    Attributes:
        remainder: what becomes of their distance.
        by_intervals: whether a ReLU sees the ends that intervals have, or the zonotope's own.
    """

    remainder: ClassVar[type[Remainder]]
    by_intervals: ClassVar[bool] = False

    def __init__(self, lines: Relaxation | None = None):
        super().__init__(lines)
        if not self.lines.parallel:
            fitting = ", ".join(name for name, kind in relaxations.items() if kind.parallel)
            raise UsageError(
                f"bound {self.name}: a zonotope takes two lines of one slope\n"
                f"  these have one: {fitting}"
            )

    def lower(self, reach: Reach, rows_BSK: Tensor) -> Tensor:
        given = reach.ends if self.by_intervals else [reach.box]
        parts = []
        size = self._part_size(reach)
        for start in range(0, len(rows_BSK), size):
            part = slice(start, start + size)
            around = [(low[part], high[part]) for low, high in given]
            source = self.source(reach.steps, around, rows_BSK[part])
            found_BS = zonotope_bounds(
                *(reach.steps, around[0], rows_BSK[part], source, self.remainder),
                around if self.by_intervals else None,
                rigorous=reach.rigorous,
            )
            parts.append(found_BS)
        return torch.cat(parts) if parts else rows_BSK.new_zeros(rows_BSK.shape[:2])

    def source(self, steps: Sequence[Step], ends: Sequence[Ends], rows_BSK: Tensor) -> Source:
        """What chooses lines, of one slope each; whatever it chooses is sound."""
        return by_relaxation(self.lines)

    def forms(self, reach: Reach) -> int:
        return reach.box[0][0].numel()  # a symbol for each pixel, and more may come

    def _part_size(self, reach: Reach) -> int:
        if not len(reach.box[0]):
            return 1
        ends = reach.ends if self.remainder.grows else self._sizes(reach)
        entries = symbol_entries(reach.steps, ends, self.remainder)
        if entries > _LARGEST:
            raise UsageError(
                f"bound {self.name}: one image has symbols of {entries:.2g} numbers a layer\n"
                "  take a linear bound instead: cap has the lines of deepz; or a smaller net or eps"
            )
        return _LARGEST // max(entries, 1)

    @torch.no_grad()
    def _sizes(self, reach: Reach) -> list[Ends]:
        """Ends of the batch's box, and of one image's values: no more is asked of them."""
        return [reach.box, *reach.one.ends[1:]]


@bounds.register("deepz")
class DeepZ(ZonotopeBound):
    """DeepZ (Singh et al. 2018): the smallest parallelogram around each ReLU, all symbols kept."""

    name = "deepz"
    relaxation: ClassVar[str] = "same_slope"
    remainder: ClassVar[type[Remainder]] = NewSymbols


@bounds.register("deepz_ibp")
class DeepZIBP(ZonotopeBound):
    """The same over the ends of intervals: cheap to get, and wider.

    Jovanovic et al. 2022 (arXiv:2102.06700), DeepZ-IBP(R).
    """

    name = "deepz_ibp"
    relaxation: ClassVar[str] = "same_slope"
    remainder: ClassVar[type[Remainder]] = NewSymbols
    by_intervals: ClassVar[bool] = True


@bounds.register("hzono")
class HybridZono(ZonotopeBound):
    """hZono (Mirman et al. 2018): the lines of DeepZ, their distances in the box part."""

    name = "hzono"
    relaxation: ClassVar[str] = "same_slope"
    remainder: ClassVar[type[Remainder]] = BoxPart


@bounds.register("hbox")
class HybridBox(ZonotopeBound):
    """hBox (Mirman et al. 2018): unstable neurons forget the pixels; never below `interval`."""

    name = "hbox"
    relaxation: ClassVar[str] = "box"
    remainder: ClassVar[type[Remainder]] = BoxPart


@bounds.register("hbox_diag")
class HybridDiag(ZonotopeBound):
    """hBox-Diag (Jovanovic et al. 2022, arXiv:2102.06700)."""

    name = "hbox_diag"
    relaxation: ClassVar[str] = "diag"
    remainder: ClassVar[type[Remainder]] = BoxPart


@bounds.register("hbox_diag_c")
class HybridDiagC(ZonotopeBound):
    """hBox-Diag-C (Jovanovic et al. 2022, arXiv:2102.06700), continuous in the weights."""

    name = "hbox_diag_c"
    relaxation: ClassVar[str] = "diag_c"
    remainder: ClassVar[type[Remainder]] = BoxPart


@bounds.register("hbox_switch")
class HybridSwitch(ZonotopeBound):
    """hBox-Switch (Jovanovic et al. 2022, arXiv:2102.06700)."""

    name = "hbox_switch"
    relaxation: ClassVar[str] = "switch"
    remainder: ClassVar[type[Remainder]] = BoxPart


@bounds.register("deepz_box")
class DeepZBox(ZonotopeBound):
    """DeepZ-Box (Jovanovic et al. 2022, arXiv:2102.06700): hBox whose remainders cancel."""

    name = "deepz_box"
    relaxation: ClassVar[str] = "box"
    remainder: ClassVar[type[Remainder]] = NewSymbols


@bounds.register("deepz_diag")
class DeepZDiag(ZonotopeBound):
    """DeepZ-Diag (Jovanovic et al. 2022, arXiv:2102.06700)."""

    name = "deepz_diag"
    relaxation: ClassVar[str] = "diag"
    remainder: ClassVar[type[Remainder]] = NewSymbols


@bounds.register("deepz_diag_c")
class DeepZDiagC(ZonotopeBound):
    """DeepZ-Diag-C (Jovanovic et al. 2022, arXiv:2102.06700).

    Dead neurons have symbols too, without which it would prove what is wrong.
    """

    name = "deepz_diag_c"
    relaxation: ClassVar[str] = "diag_c"
    remainder: ClassVar[type[Remainder]] = NewSymbols


@bounds.register("deepz_switch")
class DeepZSwitch(ZonotopeBound):
    """DeepZ-Switch (Jovanovic et al. 2022, arXiv:2102.06700)."""

    name = "deepz_switch"
    relaxation: ClassVar[str] = "switch"
    remainder: ClassVar[type[Remainder]] = NewSymbols


@bounds.register("deepz_soft")
class DeepZSoft(ZonotopeBound):
    """DeepZ-Soft (Jovanovic et al. 2022, arXiv:2102.06700), gamma = 1."""

    name = "deepz_soft"
    relaxation: ClassVar[str] = "soft_slope"
    remainder: ClassVar[type[Remainder]] = NewSymbols
