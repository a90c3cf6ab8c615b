"""Whether figures agree with those of others: a line for each that does not, and the exit code.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor


def margins_apart(of: str, ours_BK: Tensor, theirs_BK: Tensor, tolerance: float) -> list[str]:
    """A line if margins are further apart than that, or not numbers, with the worst of them."""
    apart_BK = (ours_BK - theirs_BK).abs().nan_to_num(nan=float("inf"))
    worst = int(apart_BK.argmax())
    if apart_BK.flatten()[worst] <= tolerance:
        return []
    b, k = divmod(worst, apart_BK.shape[1])
    return [
        f"{of}: the margin of image {b} to class {k} is {ours_BK[b, k]:.8g} here and "
        f"{theirs_BK[b, k]:.8g} there: {apart_BK[b, k]:.1e} apart, more than {tolerance:g}"
    ]


def percent_apart(of: str, ours: float, theirs: float) -> list[str]:
    """A line if two percentages differ in their second decimal."""
    if f"{ours:.2f}" == f"{theirs:.2f}":
        return []
    return [f"{of}: {ours:.2f} % here and {theirs:.2f} % there: {abs(ours - theirs):.2f} apart"]


def end(apart: Sequence[str]) -> None:
    """Exit with 1 and these lines on stderr, if there are any."""
    if apart:
        print(*apart, sep="\n", file=sys.stderr)
        sys.exit(1)
