"""Sums of a few products that are not negative, in one fixed order: those of order statistics.

For K products v_k a_k of an exact v_k >= 0 and a correctly rounded a_k >= 0, each product and each
of the K - 1 sums rounded once, the computed y has at most K + 1 roundings between an a_k and
itself. As fl(b) = b / (1 + d) with |d| <= u for each of them, and as no term is negative,

    y (1 - u)^(K + 1) <= sum_k v_k a*_k <= y (1 + u)^(K + 1)                                   (1)

for the exact a*_k, but for underflow, which costs a product or sum at most the smallest normal
number. While (K + 1)(K + 2) u <= 1, (1 + u)^(K + 1) - 1 <= (K + 2) u, and (1) is

    |y - sum_k v_k a*_k| <= (K + 2) u y                                                        (2)

Proof of the last step: (1 + u)^n - 1 <= n u / (1 - n u), which is at most (n + 1) u if and only if
n (n + 1) u <= 1; 1 - (1 - u)^n <= n u (Higham 2002, Lemma 3.1). Sorting rounds nothing: rounding is
monotone, so that the k-th largest computed a is the k-th largest exact one, rounded.

Shapes: tensors have the shape of the layer's output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.rounding.unit import FLUSH, smallest_normal, unit_roundoff


def ordered_error(num_terms: int, total: Tensor, unit: float) -> Tensor:
    """How far a computed sum can be from the exact one, in float64: equation (2).

    Args:
        num_terms: K.
        total: y, as it was computed.
        unit: unit roundoff u of the arithmetic.

    Raises:
        UsageError: a sum so long that (2) does not hold.
    """
    _check_covered(num_terms, unit)
    return (num_terms + 2) * unit * total.double() + _underflow(num_terms, total.dtype)


def ordered_slack(num_terms: int, total: Tensor) -> Tensor:
    """What an end must move outward, in its own dtype, to pass the exact sum.

    s = 1.01 (K + 4) u y. Moving an end rounds once more and s itself is rounded three times: what
    is left of it is at least (1.01 (K + 4) (1 - 3u) - 1) u y >= (K + 2) u y for u <= 2^-8.

    Args, Raises: as ordered_error.
    """
    unit = unit_roundoff(total.dtype)
    _check_covered(num_terms, unit)
    return 1.01 * (num_terms + 4) * unit * total + 2 * _underflow(num_terms, total.dtype)


def _check_covered(num_terms: int, unit: float) -> None:
    if (num_terms + 1) * (num_terms + 2) * unit > 1:
        raise UsageError(
            f"a sum of {num_terms} order statistics has no rounding bound here: "
            f"(K + 1)(K + 2) u is above 1 for u = {unit:.3g}\n"
            "  certify in a wider dtype, or with fewer order statistics"
        )


def _underflow(num_terms: int, dtype: torch.dtype) -> float:
    # SOUND: differences, products and sums that underflow lose more than a relative error.
    return 2 * num_terms * max(FLUSH, smallest_normal(dtype))
