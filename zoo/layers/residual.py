"""Residual: what two branches make of one input, added up.

Shapes: tensors have the shape of the input or output; B batch, S rows of forms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.rounding import FLUSH, NAIVE, Ends, Reading, Zonotope, largest, unit_roundoff
from zoo.rounding.backward import Ledger
from zoo.rules import Pulled, describe, drift, enclose, enter_expand, interval
from zoo.rules.describe import Description
from zoo.rules.expand import Add as AddStep
from zoo.rules.pull import Relax, enter_linear


class Add(nn.Module):
    """y = a + b of one shape, rounded once.

    Raises:
        UsageError: values of two shapes.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        _check_shapes(a, b)
        return a + b


def _check_shapes(a: Tensor, b: Tensor) -> None:
    # SOUND: torch repeats the smaller one, and a form of the sum is no form of that.
    if a.shape[1:] != b.shape[1:]:
        raise UsageError(
            f"branches make values of shapes {tuple(a.shape[1:])} and {tuple(b.shape[1:])}: "
            "a residual sum adds two of one shape"
        )


class Residual(nn.Module):
    """y = body(x) + skip(x) (He et al. 2015, arXiv:1512.03385).

    Intervals of the two branches add up, as if each had an x of its own; linear forms of y are
    forms of both branches, so what cancels between them is seen, and x is met once.

    Args:
        skip: the identity by default.
    """

    def __init__(self, body: nn.Module, skip: nn.Module | None = None):
        super().__init__()
        self.body, self.skip, self.add = body, nn.Identity() if skip is None else skip, Add()

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.body(x), self.skip(x))


@enter_expand(Residual)
def _(layer: Residual, add: AddStep, x: Any) -> Any:
    return add(layer.add, [add(layer.body, [x]), add(layer.skip, [x])])


@interval.register(Add)
def _(
    layer: Add,
    lower_a: Tensor,
    upper_a: Tensor,
    lower_b: Tensor,
    upper_b: Tensor,
    reading: Reading = NAIVE,
) -> Ends:
    _check_shapes(lower_a, lower_b)
    return reading.step(lower_a + lower_b, upper_a + upper_b)


@enter_linear(Add)
def _(layer: Add, rows: Tensor, ends: Sequence[Ends], relax: Relax, ledger: Ledger) -> Pulled:
    return Pulled([rows, rows], rows.new_zeros(rows.shape[:2]))  # exact


@drift.register(Add)
def _(layer: Add, errors: Sequence[Tensor], ends: Sequence[Ends], program: torch.dtype) -> Tensor:
    incoming = errors[0] + errors[1]
    most = largest(*ends[0]) + largest(*ends[1]) + incoming
    # 1.01 for the rounding of these sums themselves, in float64.
    error = 1.01 * (incoming + unit_roundoff(program) * most) + FLUSH
    # SOUND: a sum that may overflow has no bound; NaN certifies nothing.
    return torch.where(1.01 * most < torch.finfo(program).max, error, torch.nan)


@describe.register(Residual)
def _(layer: Residual, name: str = "") -> Description:
    inside = f"{name}." if name else ""
    branches = [describe(layer.body, f"{inside}body"), describe(layer.skip, f"{inside}skip")]
    return [{"kind": "add", "branches": branches}]


@enclose.register(Add)
def _(layer: Add, zonotopes: Sequence[Zonotope], *_: object) -> Zonotope:
    _check_shapes(zonotopes[0].centre, zonotopes[1].centre)
    return zonotopes[0] + zonotopes[1]
