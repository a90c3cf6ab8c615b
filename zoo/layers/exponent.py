"""The exponent p of a whole model: all its distance layers share one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from zoo.errors import UsageError
from zoo.layers.lp_dist import LpDist


def set_exponent(model: nn.Module, p: float) -> None:
    """Set p in all distance layers of a model; a model without any is left as it is.

    Raises:
        UsageError: p < 1, where l_p is no distance.
    """
    if not p >= 1:
        raise UsageError(f"p must be at least 1, got {p}")
    for layer in model.modules():
        if isinstance(layer, LpDist):
            layer.p = float(p)


@contextmanager
def exponent(model: nn.Module, p: float) -> Iterator[None]:
    """Set p in all distance layers of a model for a while."""
    layers = [layer for layer in model.modules() if isinstance(layer, LpDist)]
    before = [layer.p for layer in layers]
    set_exponent(model, p)
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer.p = old
