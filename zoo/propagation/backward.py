"""Backward linear bounds: pull linear forms of a value back to the image.

Shapes: B batch, S rows (linear forms), K classes, D entries of a value; ``...`` the shape of a
value without its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from zoo.errors import UsageError
from zoo.propagation.steps import Step
from zoo.relaxations import Slopes
from zoo.rounding import NAIVE, REAL, Ends, largest, mid_rad
from zoo.rounding.backward import Ledger, NoLedger
from zoo.rules.pull import pull, pull_affine

# Slopes of a step's lines, from its number and the ends of its input.
Source = Callable[[int, Tensor, Tensor], Slopes]


def lower_bounds(
    steps: Sequence[Step],
    ends: Sequence[Ends],
    rows: Tensor,
    at: int,
    source: Source,
    *,
    rigorous: bool = False,
) -> Tensor:
    """Lower bounds (B, S) of <row, value> over the box, for rows over value number ``at``.

    Args:
        ends: of the values that steps before ``at`` take, the box first; they must hold.
        rows: (B, S, ...).
        source: what chooses lines, which any numbers make sound.
        rigorous: less by what rounding may have added, and from ends that hold exactly.

    Raises:
        UsageError: a layer without a rule; sums too long for a bound on their rounding.
    """
    ledger = Ledger() if rigorous else NoLedger()
    pending = {at: rows}
    total_BS: Tensor | float = 0.0
    for i in reversed(range(at)):
        row = pending.pop(i + 1, None)
        if row is None:  # no row depends on what this step makes
            continue
        step = steps[i]
        taken = [ends[j] for j in step.inputs]
        if step.affine is not None:
            found = pull_affine(step.affine, row, taken[0], ledger)
        else:
            found = pull(step.layer, row, taken, partial(source, i), ledger)
        total_BS = total_BS + found.constant_BS
        for j, own in zip(step.inputs, found.rows, strict=True):
            _check_shape(step, own, ends[j])
            if j in pending:
                pending[j] = pending[j] + own
                ledger.record(pending[j], largest(*ends[j])[:, None])
            else:
                pending[j] = own
    lowest_BS = _minimum(pending[0], ends[0], ledger)
    return total_BS + lowest_BS - ledger.slack()


def _check_shape(step: Step, rows: Tensor, ends: Ends) -> None:
    # SOUND: where a layer repeats its input, rows over what it makes are not rows over that.
    made, taken = tuple(rows.shape[2:]), tuple(ends[0].shape[1:])
    if made != taken:
        raise UsageError(
            f"layer {type(step.layer).__name__} repeats an input of shape {taken} to {made}, which "
            "linear forms do not follow\n"
            "  make the layer as large as its input"
        )


def _minimum(rows: Tensor, box: Ends, ledger: Ledger) -> Tensor:
    """Least value of <row, x> over the box."""
    rows_BSD = rearrange(rows, "b s ... -> b s (...)")
    mid_BD, radius_BD = (rearrange(end, "b ... -> b (...)") for end in mid_rad(*box))
    if ledger.rigorous:
        ledger.record(rows_BSD, (mid_BD.abs() + radius_BD)[:, None])
    centre_BS = torch.einsum("bsd,bd->bs", rows_BSD, mid_BD)
    return centre_BS - torch.einsum("bsd,bd->bs", rows_BSD.abs(), radius_BD)


def margins_by_rows(y_B: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Rows e_y - e_k for all k but y, in order: (B, K - 1, K)."""
    one_KK = torch.eye(num_classes, dtype=dtype, device=y_B.device)
    rows_BKK = one_KK[y_B][:, None] - one_KK
    others_BK = torch.arange(num_classes, device=y_B.device) != y_B[:, None]
    return rearrange(rows_BKK[others_BK], "(b k) c -> b k c", k=num_classes - 1)


def spread_margins(lower_BS: Tensor, y_B: Tensor) -> Tensor:
    """margins_BK of the bounds of these rows, column y 0."""
    num_classes = lower_BS.shape[1] + 1
    others_BK = torch.arange(num_classes, device=y_B.device) != y_B[:, None]
    return lower_BS.new_zeros(others_BK.shape).masked_scatter(others_BK, lower_BS)


def tightened_ends(
    steps: Sequence[Step],
    box: Ends,
    source: Source,
    *,
    rigorous: bool = False,
    chunk: int = 256,
) -> list[Ends]:
    """Ends of all values; those that a nonlinear step takes by backward bounds of each entry.

    Each is intersected with the interval that follows from the ends before it, so none is wider
    than by interval propagation.

    Args:
        chunk: rows that are pulled at once; the result does not depend on it, memory does.
    """
    reading = REAL if rigorous else NAIVE
    wanted = {j for step in steps if not step.linear for j in step.inputs}
    bent = False  # whether a nonlinear step came before
    ends = [box]
    for i, step in enumerate(steps):
        ends.append(step.interval([ends[j] for j in step.inputs], reading))
        bent = bent or not step.linear
        # Up to the first nonlinear step intervals are exact, and nothing can be gained.
        if i + 1 in wanted and bent and step.linear:
            bound = partial(lower_bounds, steps, ends, at=i + 1, source=source, rigorous=rigorous)
            ends[i + 1] = _tightened(ends[i + 1], bound, chunk)
    return ends


def _tightened(ends: Ends, bound: Callable[[Tensor], Tensor], chunk: int) -> Ends:
    """Ends of a value by bounds of its entries, image by image where their sign is open.

    The others keep theirs: their ReLU is a line already.
    """
    lower_BD, upper_BD = (rearrange(end, "b ... -> b (...)") for end in ends)
    open_BD = (lower_BD < 0) & (upper_BD > 0)
    open_D = open_BD.any(0).nonzero().flatten()  # rows are pulled for all images at once
    if not len(open_D):
        return ends
    found = []
    for sign in (1, -1):
        for index_S in open_D.split(chunk):
            rows_SD = sign * torch.nn.functional.one_hot(index_S, lower_BD.shape[1])
            rows = rows_SD.to(lower_BD.dtype).view(1, len(index_S), *ends[0].shape[1:])
            found.append(bound(rows.expand(len(lower_BD), *rows.shape[1:])))
    low_BS, minus_high_BS = torch.cat(found, 1).chunk(2, 1)
    low_BD, high_BD = (
        torch.where(open_BD, end.index_copy(1, open_D, new), end)
        for end, new in ((lower_BD, low_BS), (upper_BD, -minus_high_BS))
    )
    low, high = torch.maximum(lower_BD, low_BD), torch.minimum(upper_BD, high_BD)
    return low.view_as(ends[0]), high.view_as(ends[1])
