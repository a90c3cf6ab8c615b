"""Shaped rule: the affine form of a layer that the shape of its input decides.

``shaped(layer, shape) -> Affine``, shape that of the input without its batch: windows that divide
an image into so many parts, or a shift by channels, however many axes follow them.

A layer that enters this rule is known to linear bounds and zonotopes, as one of the rule `affine`,
which says its form before there is an input. Its interval rule it has to say by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zoo.rounding import Affine, Ends, Remainder, Zonotope
from zoo.rounding.backward import Ledger
from zoo.rules.dispatch import Rule
from zoo.rules.drift import affine_drift, drift
from zoo.rules.enclose import enclose
from zoo.rules.pull import Pulled, Relax, enter_linear, pull_affine

shaped: Rule[..., Affine] = Rule("shaped")

ShapedRule = Callable[..., Affine]


def enter_shaped(*kinds: type[nn.Module]) -> Callable[[ShapedRule], ShapedRule]:
    """Decorator: the shaped rule of these layer types, and by it pull, enclose and drift."""

    def enter(function: ShapedRule) -> ShapedRule:
        shaped.register(*kinds)(function)

        @enter_linear(*kinds)
        def _(
            layer: nn.Module, rows: Tensor, ends: Sequence[Ends], relax: Relax, ledger: Ledger
        ) -> Pulled:
            (own,) = ends
            return pull_affine(shaped(layer, own[0].shape[1:]), rows, own, ledger)

        @enclose.register(*kinds)
        def _(
            layer: nn.Module,
            zonotopes: Sequence[Zonotope],
            ends: Sequence[Ends],
            relax: Relax,
            remainder: Remainder,
        ) -> Zonotope:
            (zonotope,) = zonotopes
            return zonotope.affine(shaped(layer, zonotope.centre.shape[1:]))

        @drift.register(*kinds)
        def _(
            layer: nn.Module,
            errors: Sequence[Tensor],
            ends: Sequence[Ends],
            program: torch.dtype,
        ) -> Tensor:
            return affine_drift(shaped(layer, errors[0].shape[1:]), errors[0], ends[0], program)

        return function

    return enter
