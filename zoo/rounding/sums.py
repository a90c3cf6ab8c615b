"""Sums of products in an order that nobody promises: matrix products and convolutions.

For any order and any parenthesisation of n products and a bias, with or without fused multiply-add,
each operation rounded to nearest with unit roundoff u,

    |fl(w.x + b) - (w.x + b)| <= (n + 1) u (|w|.|x| + |b|)                                     (1)

up to terms of order (n u)^2 that the factor 1.01 below covers (Higham 2002, §3.1; Jeannerod and
Rump 2013 show that (1) needs no such terms). It does not hold for Winograd or FFT convolutions, nor
for reduced-precision modes such as TF32, whose operands are rounded first.

Shapes: tensors have the shape of the layer's output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.rounding.unit import smallest_normal, unit_roundoff

# The factor 1.01 covers what is of second order while (n + 4) u is at most this.
_LARGEST = 0.005


def real_slack(num_terms: int, magnitude: Tensor) -> Tensor:
    """s_A: what mid-rad interval arithmetic must add to enclose the exact layer.

    With mu = fl((l + h) / 2), r = fl(max(h - mu, mu - l)), z = fl(W mu + b), rho = fl(|W| r) and
    the magnitude T = fl(|W| (|mu| + r) + |b|), all of unit roundoff u, and n products a sum,

        s_A = 1.01 (n + 4) u T        W x + b in [z - rho - s_A, z + rho + s_A] for all x in [l, h]

    The exact half-width is at most (1 + u) r, an error of u |W| r. By (1), z and rho are off by
    (n + 1) u (|W| |mu| + |b|) and n u |W| r. The two operations that form an end are off by u T
    each, to first order. Together at most (n + 3) u T of exact T; the computed T is off by
    (n + 2) u T itself, which 1.01 covers (Rump 1999, Fast and parallel interval arithmetic).

    Args:
        num_terms: n.
        magnitude: T, in the dtype that the ends are computed in.

    Raises:
        UsageError: a sum so long that the factor 1.01 does not cover it.
    """
    unit = _covered(num_terms, magnitude.dtype)
    return 1.01 * (num_terms + 4) * unit * magnitude + _underflow(num_terms, magnitude)


def deployed_error(num_terms: int, magnitude: Tensor, program: torch.dtype) -> Tensor:
    """How far one layer of the program can be from the exact layer at the program's own input.

    1.01 (n + 1) u_p T, u_p being the program's unit roundoff: equation (1).

    Args:
        num_terms: n.
        magnitude: T >= |W| |x| + |b| for every input x that is meant.
        program: the dtype in which the program computes.

    Raises:
        UsageError: as real_slack.
    """
    unit = _covered(num_terms, program)
    return 1.01 * (num_terms + 1) * unit * magnitude + 2 * (num_terms + 1) * smallest_normal(
        program
    )


def deployed_slack(num_terms: int, magnitude: Tensor, program: torch.dtype) -> Tensor:
    """s_B: what the same arithmetic must add to enclose every execution of the program.

        s_B = s_A + 1.01 (n + 1) u_p T

    The program's input lies in [l, h], so its exact image lies in the interval of `real_slack`,
    and the program is off by at most `deployed_error`, as |W| |x| + |b| <= T for such inputs.

    Args, Raises: as real_slack and deployed_error.
    """
    return real_slack(num_terms, magnitude) + deployed_error(num_terms, magnitude, program)


def _covered(num_terms: int, dtype: torch.dtype) -> float:
    """The unit roundoff, after a look at whether it is small enough for the sum."""
    unit = unit_roundoff(dtype)
    if (num_terms + 4) * unit > _LARGEST:
        raise UsageError(
            f"a sum of {num_terms} products in {dtype} has no rounding bound here: "
            f"(n + 4) u = {(num_terms + 4) * unit:.3g} is above {_LARGEST}\n"
            "  certify in a wider dtype, or with a model of smaller layers"
        )
    return unit


def _underflow(num_terms: int, magnitude: Tensor) -> float:
    # SOUND: products that underflow lose more than a relative error; three sums and two ends do.
    return 8 * (num_terms + 4) * smallest_normal(magnitude.dtype)
