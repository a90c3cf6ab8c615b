"""Expand rule: a layer that is made of layers says which, and what each of them takes.

``expand(layer, add, x) -> y``: ``add(child, inputs)`` enters a child that takes these values and
returns the value it makes. What a value is the caller decides: its number, its ends, its error. A
layer without this rule is a step of its own.

A layer that enters this rule has its rules of one value at a time, interval and forward error, by
those of its children: a layer may stand in several places, and a value go to several layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules.dispatch import Rule
from zoo.rules.forward_error import Rounded, forward_error
from zoo.rules.interval import interval

Add = Callable[[nn.Module, Sequence[Any]], Any]
ExpandRule = Callable[[Any, Add, Any], Any]

expand: Rule[..., Any] = Rule("expand")


def enter_expand(*kinds: type[nn.Module]) -> Callable[[ExpandRule], ExpandRule]:
    """Decorator: the expand rule of these layer types, and the rules that follow from it."""

    def enter(function: ExpandRule) -> ExpandRule:
        expand.register(*kinds)(function)

        @interval.register(*kinds)
        def _(layer: nn.Module, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
            def image(child: nn.Module, inputs: Sequence[Ends]) -> Ends:
                return interval(child, *(end for ends in inputs for end in ends), reading)

            return function(layer, image, (lower, upper))

        @forward_error.register(*kinds)
        def _(layer: nn.Module, x: Rounded, unit: float) -> Rounded:
            return function(layer, lambda child, xs: forward_error(child, *xs, unit), x)

        return function

    return enter


@enter_expand(nn.Sequential)
def _(layer: nn.Sequential, add: Add, x: Any) -> Any:
    for child in layer:
        x = add(child, [x])
    return x
