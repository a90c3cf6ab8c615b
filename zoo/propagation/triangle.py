"""The triangle relaxation: the smallest convex set around each ReLU, by linear programming.

Over the ends of its input, y = max(z, 0) lies in the triangle y >= 0, y >= z, y <= s z - s l, with
s = u / (u - l) (Ehlers 2017, arXiv:1705.01320). The least margin over all of them is a linear
program for each row; no bound by lines over the same ends is larger (Salman et al. 2019,
arXiv:1902.08722, Theorem 4). Maxima and distances stand between the lines that all such bounds give
them, and sums are exact.

What a solver says is true up to its tolerances, and proves nothing. But its multipliers say which
multiple of z each row wants in place of its multiple of y, and any line is sound with the offset
that belongs to its slope: so the solver only chooses slopes, and the backward bound at these is the
result.

Shapes: B batch, S rows; n unknowns, m equations. Unknowns are the entries of all values, in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.sparse import coo_array
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.propagation.backward import Source
from zoo.propagation.slopes import relu_inputs
from zoo.propagation.steps import Step
from zoo.relaxations import Slopes
from zoo.relaxations.lines import stable
from zoo.rounding import Ends
from zoo.rounding.backward import NoLedger
from zoo.rules import pull, pull_affine

_MOST_UNKNOWNS = 20_000


def triangle_slopes(steps: Sequence[Step], ends: Sequence[Ends], rows: Tensor) -> Source:
    """Slopes at which the backward bound of each row is, but for rounding, the triangle's.

    Args:
        ends: of all values, which the triangles stand on.
        rows: (B, S, K), over the logits.

    Raises:
        UsageError: a net too large for a dense program, or with steps that have no triangle.
    """
    found: dict[int, list[Tensor]] = {i: [] for i in relu_inputs(steps, ends)}
    for b in range(len(rows)):
        program = _Program(steps, [(lower[b : b + 1], upper[b : b + 1]) for lower, upper in ends])
        for row in rows[b]:
            for i, slope in program.solve(row).items():
                found[i].append(slope)
    chosen = {i: torch.stack(each).unflatten(0, rows.shape[:2]) for i, each in found.items()}

    def slopes(step: int, lower: Tensor, upper: Tensor) -> Slopes:
        # A row meets the line on the side of its sign, so one slope serves for both.
        slope = stable(chosen[step], lower[:, None], upper[:, None])
        return Slopes(slope, slope)

    return slopes


@dataclass
class _Sparse:
    """Rows of a sparse system, entered one block at a time."""

    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    right: list[np.ndarray] = field(default_factory=list)
    num_rows: int = 0

    def add(self, blocks: Sequence[tuple[np.ndarray, int]], right: np.ndarray) -> slice:
        """Rows sum of block @ unknowns from an offset on, with their right side."""
        for block, offset in blocks:
            at, to = np.nonzero(block)
            self.entries.append((block[at, to], at + self.num_rows, to + offset))
        self.right.append(right)
        start, self.num_rows = self.num_rows, self.num_rows + len(right)
        return slice(start, self.num_rows)

    def matrix(self, num_unknowns: int) -> tuple[coo_array | None, np.ndarray | None]:
        """The system as the solver takes it."""
        if not self.num_rows:
            return None, None
        values, at, to = (np.concatenate(part) for part in zip(*self.entries, strict=True))
        shape = (self.num_rows, num_unknowns)
        return coo_array((values, (at, to)), shape=shape), np.concatenate(self.right)


class _Program:
    """The linear program of one image; rows differ in the objective alone."""

    def __init__(self, steps: Sequence[Step], ends: Sequence[Ends]):
        sizes = [lower.numel() for lower, _ in ends]
        if sum(sizes) > _MOST_UNKNOWNS:
            raise UsageError(
                f"the triangle bound is for small nets: this one has {sum(sizes):,} values, more "
                f"than {_MOST_UNKNOWNS:,}\n  take alpha_crown, whose slopes are found by steps"
            )
        self._starts = [0, *np.cumsum(sizes).tolist()]
        self._shapes = [lower.shape[1:] for lower, _ in ends]
        flat = [tuple(end.detach().double().flatten().numpy() for end in pair) for pair in ends]
        # Ends of later values follow from the triangles; as bounds they would draw multipliers to
        # themselves that no line stands for.
        self._lower, self._upper = np.full((2, sum(sizes)), np.inf) * [[-1], [1]]
        self._lower[: sizes[0]], self._upper[: sizes[0]] = flat[0]
        self._equal, self._below = _Sparse(), _Sparse()
        # Of a ReLU: where it bends, its chord's slope there, and the rows y >= z and y <= chord.
        self._bent: dict[int, tuple[np.ndarray, np.ndarray, slice, slice]] = {}
        for i, step in enumerate(steps):
            if type(step.layer) is nn.ReLU:
                self._relu(i, step.inputs[0], *flat[step.inputs[0]])
            else:
                self._planes(i, step, [ends[j] for j in step.inputs])
        # As the solver takes them, the same for all rows.
        self._equations, self._sides = (
            system.matrix(sum(sizes)) for system in (self._equal, self._below)
        )

    def _planes(self, i: int, step: Step, ends: Sequence[Ends]) -> None:
        """y on the plane that linear forms make of it, or between those that y and -y become.

        So of a maximum or a distance the program knows the lines that backward bounds know.
        """
        shape = self._shapes[i + 1]
        one = np.eye(math.prod(shape))
        unit = torch.from_numpy(one).to(ends[0][0].dtype).view(1, -1, *shape)
        for sign in (1,) if step.linear else (1, -1):
            rows, constant = _pulled(step, sign * unit, ends)
            blocks = [(row, self._starts[j]) for row, j in zip(rows, step.inputs, strict=True)]
            system = self._equal if step.linear else self._below
            system.add([*blocks, (-sign * one, self._starts[i + 1])], -constant)

    def _relu(self, i: int, source: int, lower: np.ndarray, upper: np.ndarray) -> None:
        """y = 0 or y = z where the ReLU is stable, the triangle elsewhere."""
        z, y = self._starts[source], self._starts[i + 1]
        one = np.eye(len(lower))
        dead, crossing = upper <= 0, (lower < 0) & (upper > 0)
        active = ~dead & ~crossing
        self._equal.add([(one[active], y), (-one[active], z)], np.zeros(active.sum()))
        self._equal.add([(one[dead], y)], np.zeros(dead.sum()))
        low, high = lower[crossing], upper[crossing]
        slope = high / (high - low)
        above = self._below.add([(one[crossing], z), (-one[crossing], y)], np.zeros(len(low)))
        chord = [(one[crossing], y), (-slope[:, None] * one[crossing], z)]
        self._bent[i] = crossing, slope, above, self._below.add(chord, -slope * low)
        self._lower[y : y + len(lower)][crossing] = 0

    def solve(self, row_K: Tensor) -> dict[int, Tensor]:
        """Slope of each ReLU's line, from the multipliers of the sides of its triangle."""
        num_unknowns = self._starts[-1]
        cost = np.zeros(num_unknowns)
        cost[self._starts[-2] :] = row_K.double().numpy()
        above, at_most = self._sides
        equal, to = self._equations
        found = linprog(
            cost,
            A_ub=above,
            b_ub=at_most,
            A_eq=equal,
            b_eq=to,
            bounds=np.stack([self._lower, self._upper], 1),
            method="highs",
        )
        slopes = {}
        for i, (crossing, slope, above_z, below_chord) in self._bent.items():
            chosen = np.zeros(crossing.shape)
            chosen[crossing] = slope
            if found.status == 0:
                at = self._starts[i + 1]
                by_zero = found.lower.marginals[at : at + len(crossing)][crossing]
                by_z, by_chord = (-found.ineqlin.marginals[at] for at in (above_z, below_chord))
                # by_zero y + by_z (y - z) + by_chord (chord - y): a multiple of y, and one of z.
                of_y, of_z = by_zero + by_z - by_chord, by_z - slope * by_chord
                meant = np.abs(of_y) > 1e-9
                chosen[crossing] = np.divide(of_z, of_y, where=meant, out=slope.copy())
            slopes[i] = torch.from_numpy(chosen).to(row_K.dtype).view(self._shapes[i + 1])
        return slopes


@torch.no_grad()
def _pulled(step: Step, rows: Tensor, ends: Sequence[Ends]) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows (S, D) over each input, and their constants, of rows (1, S, ...) over the output."""
    if step.affine is not None:
        found = pull_affine(step.affine, rows, ends[0], NoLedger())
    else:
        found = pull(step.layer, rows, ends, _no_slopes, NoLedger())
    flat = [own[0].flatten(1).double().numpy() for own in found.rows]
    return flat, found.constant_BS[0].double().numpy()


def _no_slopes(lower: Tensor, upper: Tensor) -> Slopes:
    raise UsageError("the triangle bound finds slopes of ReLUs alone\n  take alpha_crown")
