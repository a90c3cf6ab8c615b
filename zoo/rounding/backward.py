"""Backward linear bounds (CROWN and its kin): what their own rounding may have added.

A backward bound pulls a row of coefficients from the logits to the pixels,

    L_L = c,    M_l = L_{l+1} W_{l+1},    L_l = slope_l * M_l,    t-terms: sum_j (M_l^-)_j t_lj
    bound = sum_l L_l . b_l + sum_l (M_l^-) . t_l + min over the box of M_0 . x

with slopes and intercepts t_l of a valid linear relaxation of each activation. The *computed*
coefficients are numbers like any others, so only these facts separate the computed bound from one
that holds (Zhang et al. 2018, arXiv:1811.00866, gives the bound; errors by Higham 2002, §3.1):

- M_l is off by n_l u |L_{l+1}| |W_{l+1}|, which meets activations of size X_l;
- L_l is off by u |L_l|, which meets pre-activations of size q_l;
- each dot product is off by n_l u times the sum of the sizes of its terms, and adding the 2 L + 1
  parts up by at most 2 L u times them all.

Hence, to first order, with q_l = |W_l| X_{l-1} + |b_l| and 1.02 for the rest,

    S = 1.02 u [ sum_l (n_l + 2 + 2 L) <|L_l|, q_l>  +  sum_l (n_l + 2 L) <|M_l^-|, t_l>
                 + (n_0 + 2 L) <|M_0|, X_0> ]          bound - S holds for the exact net.

Shapes: B batch, S rows of the specification, D entries of a layer's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.rounding.unit import smallest_normal, unit_roundoff


@dataclass(frozen=True)
class BackwardTerm:
    """One product of computed coefficients with what they meet, as sizes.

    Attributes:
        coefficient_BSD: |L_l|, |M_l^-| or |M_0|.
        magnitude_BD: q_l, |t_l| or X_0: at least the size of what the coefficients meet.
        num_terms: n_l, the longest sum that went into the coefficients or goes into the product.
    """

    coefficient_BSD: Tensor
    magnitude_BD: Tensor
    num_terms: int


def backward_slack(
    affine: Sequence[BackwardTerm], intercepts: Sequence[BackwardTerm], pixels: BackwardTerm
) -> Tensor:
    """S, shape (B, S), in the dtype of the terms.

    Args:
        affine: a term a layer, coefficients L_l and magnitudes q_l; L is their number.
        intercepts: a term an activation, coefficients M_l^- and magnitudes |t_l|.
        pixels: coefficients M_0 and magnitudes X_0.

    Raises:
        UsageError: sums so long that the factor 1.02 does not cover what is of second order.
    """
    depth = len(affine)
    dtype = pixels.coefficient_BSD.dtype
    unit = unit_roundoff(dtype)
    longest = max(term.num_terms for term in [*affine, *intercepts, pixels])
    # Errors compound: the factor (1 + (n + 2) u), depth times over, stays below 1.01.
    if depth * (longest + 2 + 2 * depth) * unit > 0.005:
        raise UsageError(
            f"sums of {longest} products over {depth} layers in {dtype} have no rounding bound here"
            "\n  certify in float64"
        )
    weighted = [(term, 2 + 2 * depth) for term in affine]
    weighted += [(term, 2 * depth) for term in [*intercepts, pixels]]
    total_BS = sum(
        (term.num_terms + more) * _size(term) for term, more in weighted
    )  # SOUND: this sum's own rounding is of second order
    count = sum((term.num_terms + more) * _width(term) for term, more in weighted)
    assert isinstance(total_BS, Tensor)
    return 1.02 * unit * total_BS + 2 * count * smallest_normal(dtype)


def _size(term: BackwardTerm) -> Tensor:
    return torch.einsum("bsd,bd->bs", term.coefficient_BSD.abs(), term.magnitude_BD.abs())


def _width(term: BackwardTerm) -> int:
    return term.coefficient_BSD.shape[-1]
