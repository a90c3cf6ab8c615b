"""Backward linear bounds (CROWN and its kin): what their own rounding may have added.

A backward bound pulls a row of coefficients from the logits to the pixels. With pre-activations
z_l = W_l h_(l-1) + b_l and lines s h + t around each activation,

    L_L = c,    M_l = L_(l+1) W_(l+1),    L_l = s_l * M_l,    parts: <M_l, t_l> and <L_l, b_l>
    bound = sum of all parts + min over the box of <M_0, x>                  (Zhang et al. 2018)

Slopes and offsets of valid lines, and the *computed* coefficients, are numbers like any others: a
bound that goes on from them exactly holds exactly. So only these separate the computed bound from
one that holds (errors by Higham 2002, §3.1):

- Where new coefficients c' over values of size X are made of others by sums of n products, each is
  off by n u times the sum of the sizes of its terms, s; that is worth n u <s, X> in the bound.
- A part is a dot product of D terms, off by D u times the sum of their sizes.
- Adding P parts up is off by P u times the sum of all their sizes.

Each operation is recorded with n, the longest of its sums, and with a size that is at least <s, X>
and at least the sizes of the terms of its part. Then, to first order and with 1.02 for the rest,

    S = 1.02 u sum over records of (n + 2 + 2 P) size,  P records          bound - S holds

Shapes: B batch, S rows of the specification, D entries of a value.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from zoo.errors import UsageError
from zoo.rounding.unit import smallest_normal, unit_roundoff


class Ledger:
    """Records of one backward pass."""

    rigorous = True

    def __init__(self) -> None:
        self._records: list[tuple[Tensor, int, int]] = []
        self._num_terms = 0

    def record(self, coefficient: Tensor, magnitude: Tensor, num_terms: int = 1) -> None:
        """One operation on rows.

        Args:
            coefficient: (B, S, ...), computed.
            magnitude: (B, 1 or S, ...), at least the size of what the coefficients meet.
            num_terms: of the longest sum that goes into the new coefficients; the dot product of
                the two arguments is counted anyway.
        """
        coefficient_BSD = rearrange(coefficient, "b s ... -> b s (...)").abs()
        magnitude_BSD = rearrange(magnitude.expand_as(coefficient), "b s ... -> b s (...)").abs()
        size_BS = torch.einsum("bsd,bsd->bs", coefficient_BSD, magnitude_BSD)
        width = coefficient_BSD.shape[-1]
        self._records.append((size_BS, max(num_terms, width), width))

    def slack(self) -> Tensor:
        """S, shape (B, S), in the dtype of what was recorded.

        Raises:
            UsageError: sums so long that the factor 1.02 does not cover what is of second order.
        """
        more = 2 + 2 * len(self._records)
        dtype = self._records[0][0].dtype
        unit = unit_roundoff(dtype)
        longest = max(num_terms for _, num_terms, _ in self._records)
        # Errors compound: the factor (1 + n u), record by record, stays below 1.01.
        if len(self._records) * (longest + more) * unit > 0.005:
            raise UsageError(
                f"sums of {longest} products over {len(self._records)} operations in {dtype} have "
                "no rounding bound here\n  certify in float64"
            )
        total_BS = torch.zeros_like(self._records[0][0])
        for size_BS, num_terms, _ in self._records:  # SOUND: its own rounding is of second order
            total_BS = total_BS + (num_terms + more) * size_BS
        count = sum((num_terms + more) * width for _, num_terms, width in self._records)
        return 1.02 * unit * total_BS + 2 * count * smallest_normal(dtype)


class NoLedger(Ledger):
    """Rounding ignored, as papers report a bound and as training needs it."""

    rigorous = False

    def record(self, coefficient: Tensor, magnitude: Tensor, num_terms: int = 1) -> None:
        pass

    def slack(self) -> float:  # type: ignore[override]
        return 0.0
