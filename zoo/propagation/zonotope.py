"""Forward zonotopes: from the box to the logits, with symbols that all values share.

Their arithmetic, and what rounding adds, is that of zoo.rounding.zonotope.

Shapes: B batch, S rows (linear forms), D entries of a value, M symbols; ``...`` the shape of a
value without its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn

from zoo.propagation.backward import Source
from zoo.propagation.steps import Step
from zoo.rounding import Ends, Ledger, NoLedger, Remainder, Zonotope
from zoo.rules import enclose, pull_affine


def zonotopes(
    steps: Sequence[Step],
    box: Ends,
    source: Source,
    remainder: type[Remainder],
    ends: Sequence[Ends] | None = None,
    *,
    rigorous: bool = False,
) -> Iterator[Zonotope]:
    """Zonotopes of all values in order, the box's own first; forgotten when they are used up.

    Args:
        source: what chooses lines of one slope.
        remainder: what becomes of their distances: NewSymbols or BoxPart.
        ends: of all values, which relaxations then see; they must hold. The zonotope's own if None.
        rigorous: enclose the exact net, whatever is rounded here.

    Raises:
        UsageError: a layer without a rule; lines of two slopes; too many symbols for a bound on
            their rounding.
    """
    last_use = {j: i for i, step in enumerate(steps) for j in step.inputs}
    alive, rest = {0: Zonotope.of_box(*box, rigorous=rigorous)}, remainder()
    yield alive[0]
    for i, step in enumerate(steps):
        taken = [alive[j] for j in step.inputs]
        if step.affine is not None:
            made = taken[0].affine(step.affine)
        else:
            around = [
                z.ends if ends is None else ends[j] for j, z in zip(step.inputs, taken, strict=True)
            ]
            made = enclose(step.layer, taken, around, partial(source, i), rest)
        alive = {j: z for j, z in alive.items() if last_use.get(j, -1) > i} | {i + 1: made}
        del taken  # symbols are large
        yield made


def zonotope_bounds(
    steps: Sequence[Step],
    box: Ends,
    rows: Tensor,
    source: Source,
    remainder: type[Remainder],
    ends: Sequence[Ends] | None = None,
    *,
    rigorous: bool = False,
) -> Tensor:
    """Lower bounds (B, S) of <row, value> over the box, for rows over the last value.

    A last affine layer is elided: its rows are multiplied by its weight first.

    Args, Raises: as zonotopes, and rows (B, S, ...).
    """
    ledger = Ledger() if rigorous else NoLedger()
    affine, at = steps[-1].affine, len(steps)
    if affine is not None:
        (at,) = steps[-1].inputs
        steps = steps[:-1]
    walk = zonotopes(steps, box, source, remainder, ends, rigorous=rigorous)
    zonotope = next(made for number, made in enumerate(walk) if number == at)
    constant_BS: Tensor | float = 0.0
    if affine is not None:
        found = pull_affine(affine, rows, zonotope.ends, ledger)
        rows, constant_BS = found.rows[0], found.constant_BS
    return constant_BS + _minimum(rows, zonotope, ledger) - ledger.slack()


def _minimum(rows: Tensor, zonotope: Zonotope, ledger: Ledger) -> Tensor:
    """Least value of <row, z> over the zonotope."""
    num_symbols = zonotope.symbols.shape[1]
    rows_BSD = rearrange(rows, "b s ... -> b s (...)")
    centre_BD, radius_BD = (
        rearrange(t, "b ... -> b (...)") for t in (zonotope.centre, zonotope.radius)
    )
    symbols_BMD = rearrange(zonotope.symbols, "b m ... -> b m (...)")
    if ledger.rigorous:
        # SOUND: sums over entries, then over symbols and the two other parts.
        ledger.record(rows, zonotope.size[:, None], rows_BSD.shape[2] + num_symbols + 4)
    spread_BS = torch.einsum("bsd,bmd->bsm", rows_BSD, symbols_BMD).abs().sum(2)
    spread_BS = spread_BS + torch.einsum("bsd,bd->bs", rows_BSD.abs(), radius_BD)
    return torch.einsum("bsd,bd->bs", rows_BSD, centre_BD) - spread_BS


def symbol_entries(steps: Sequence[Step], ends: Sequence[Ends], remainder: type[Remainder]) -> int:
    """Numbers in the largest value's symbols for one image, about, by ends of all values."""
    num_symbols = _most(ends[0][0] < ends[0][1])
    if remainder.grows:
        for i, step in enumerate(steps):
            if type(step.layer) is nn.ReLU:
                lower, upper = ends[step.inputs[0]]
                num_symbols += _most((lower < 0) & (upper > 0))
            elif not step.linear:
                lower, upper = ends[i + 1]
                num_symbols += _most(lower < upper)
    return num_symbols * max(lower[0].numel() for lower, _ in ends)


def _most(chosen: Tensor) -> int:
    return int(chosen.flatten(1).sum(1).max())
