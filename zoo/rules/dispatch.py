"""Rules by exact layer type: a subclass does not inherit its parent's rule.

functools.singledispatch follows inheritance. A residual block that subclasses nn.Sequential and
adds its input would then be certified as if it did not: the worst kind of bug. So a rule is found
for the very type it was registered for, and a layer that hooks alter has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from torch import nn
from torch.nn.modules import module

from zoo.errors import UsageError

# Of rules that bounds ask for: decorators of zoo.rules that enter several of them.
SEVERAL = (
    "or several at once: enter_affine (it is a product and a bias; enter_shaped if its input's\n"
    "  shape says which), enter_picks (outputs follow one entry each), enter_expand (it is made\n"
    "  of layers)"
)

P = ParamSpec("P")
R = TypeVar("R")


class Rule(Generic[P, R]):
    """A function of a layer with one implementation a layer type.

    Args:
        name: what the rule computes, for messages ("interval").
        otherwise: what else a layer that lacks it may enter, for messages.
    """

    def __init__(self, name: str, otherwise: str | None = None):
        self.name, self.otherwise = name, otherwise
        self._table: dict[type[nn.Module], Callable[..., R]] = {}

    def register(self, *types: type[nn.Module]) -> Callable[[Callable[..., R]], Callable[..., R]]:
        """Decorator: the rule of these layer types, and of no subclass of them."""

        def enter(function: Callable[..., R]) -> Callable[..., R]:
            for kind in types:
                assert kind not in self._table, f"{self.name} rule of {kind.__name__} exists"
                self._table[kind] = function
            return function

        return enter

    def __contains__(self, layer: nn.Module) -> bool:
        """Whether the layer's very type has a rule."""
        return type(layer) in self._table

    def __call__(self, layer: nn.Module, *args: Any, **kwargs: Any) -> R:
        """Apply the rule of the layer's type.

        Raises:
            UsageError: there is none, or hooks change what the layer computes.
        """
        # SOUND: what has no rule of its own is refused by name, never passed over.
        if layer not in self:
            raise UsageError(
                f"no {self.name} rule for layer {type(layer).__name__}\n"
                f"  add one beside the layer's class: @zoo.rules.{self.name}.register"
                + (f",\n  {self.otherwise}" if self.otherwise else "")
            )
        if (
            layer._forward_hooks
            or layer._forward_pre_hooks
            or module._global_forward_hooks
            or module._global_forward_pre_hooks
            or _overridden(layer)
            or layer._compiled_call_impl is not None
        ):
            raise UsageError(
                f"layer {type(layer).__name__} has forward hooks, methods of its own or is "
                f"compiled, which no {self.name} rule sees\n  bound the model without them"
            )
        return self._table[type(layer)](layer, *args, **kwargs)


def _overridden(layer: nn.Module) -> bool:
    """Whether this instance replaces a method of its class, as its forward or what that calls."""
    return any(callable(getattr(type(layer), name, None)) for name in vars(layer))
