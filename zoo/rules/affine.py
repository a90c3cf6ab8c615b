"""Affine rule: a layer as a product with a weight and a bias, which every kind of bound can use.

``affine(layer, x=None) -> Affine``: x is the clean batch at the layer's input, for a layer that
takes statistics of it in train mode. The rule of a layer in eval mode makes no use of it.

A layer that enters this rule has an interval rule by it, and is known to linear bounds and
zonotopes.

Shapes: tensors have the shape of the layer's input or output; C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zoo.rounding import NAIVE, Affine, Ends, Reading, deployed_error
from zoo.rules.dispatch import Rule
from zoo.rules.forward_error import Rounded
from zoo.rules.interval import interval

affine: Rule[..., Affine] = Rule("affine")
# Layers whose interval is that of their affine form; others with one have a better interval.
bounded_as_affine: set[type[nn.Module]] = set()

AffineRule = Callable[..., Affine]


def enter_affine(*kinds: type[nn.Module]) -> Callable[[AffineRule], AffineRule]:
    """Decorator: the affine rule of these layer types, and by it their interval rule."""

    def enter(function: AffineRule) -> AffineRule:
        affine.register(*kinds)(function)
        bounded_as_affine.update(kinds)

        @interval.register(*kinds)
        def _(layer: nn.Module, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
            return reading.affine(function(layer), lower, upper)

        return function

    return enter


def pulled_by_scale(rows: Tensor, scale: Tensor, shape: Sequence[int]) -> Tensor:
    """The transpose of a product with numbers, one by one."""
    return rows * scale


def affine_error(affine: Affine, y: Tensor, x: Rounded, gain: float) -> Rounded:
    """The state after y = W x + b: |W| times the error so far, and what any order of sums adds.

    Args:
        gain: of the exact layer, the largest sum of |w| in a row.
    """
    wide, size = affine.to(torch.float64), x.value.double().abs()
    own = deployed_error(affine.num_terms, wide.magnitude(size), y.dtype)
    error = wide.radius(x.error.expand_as(x.value).double()) + own
    return x.after(y, error, math.ceil(1.01 * (affine.num_terms + 1)), gain)
