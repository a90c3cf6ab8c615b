"""Describe rule: a net as a list of layers that a stranger can run without this package.

``describe(layer, name) -> [{"kind": ..., "name": ..., ...}]``: what to compute, in order; `name` is
the prefix of the layer's tensors in the weight file, `branches` are lists of layers side by side.
docs/guarantees.md says what each kind means, and tools/check_certificates.py runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from zoo.errors import UsageError
from zoo.rules.dispatch import Rule

# An entry's values are texts and numbers; branches are lists of such lists.
Description = list[dict[str, Any]]

# Kinds that depend on the order of a sum or on a library: other machines may give other last bits.
SUMS = frozenset({"linear", "conv2d", "batch_norm", "avg_pool", "tanh"})

describe: Rule[..., Description] = Rule("describe")


def kinds(layers: Iterable[Mapping[str, Any]]) -> set[str]:
    """All kinds in a description, those in branches included."""
    found = set()
    for entry in layers:
        found.add(entry["kind"])
        for branch in entry.get("branches", ()):
            found |= kinds(branch)
    return found


@describe.register(nn.Sequential)
def _(layer: nn.Sequential, name: str = "") -> Description:
    inside = f"{name}." if name else ""
    return [
        entry
        for key, child in layer.named_children()
        for entry in describe(child, f"{inside}{key}")
    ]


@describe.register(nn.Flatten)
def _(layer: nn.Flatten, name: str = "") -> Description:
    return [{"kind": "flatten"}]


@describe.register(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
def _(layer: nn.Module, name: str = "") -> Description:
    return []


@describe.register(nn.ReLU)
def _(layer: nn.ReLU, name: str = "") -> Description:
    return [{"kind": "relu"}]


@describe.register(nn.Tanh)
def _(layer: nn.Tanh, name: str = "") -> Description:
    return [{"kind": "tanh"}]


@describe.register(nn.Linear)
def _(layer: nn.Linear, name: str = "") -> Description:
    return [{"kind": "linear", "name": name}]


@describe.register(nn.Conv2d)
def _(layer: nn.Conv2d, name: str = "") -> Description:
    stride, padding = {*layer.stride}, {*layer.padding}
    if (
        layer.padding_mode != "zeros"
        or layer.groups != 1
        or {*layer.dilation} != {1}
        or len(stride) != 1
        or len(padding) != 1
        or isinstance(layer.padding, str)
    ):
        raise UsageError("describe: only square, plain convolutions with zero padding have a kind")
    return [{"kind": "conv2d", "name": name, "stride": min(stride), "padding": min(padding)}]


@describe.register(nn.BatchNorm1d, nn.BatchNorm2d)
def _(layer: nn.BatchNorm1d | nn.BatchNorm2d, name: str = "") -> Description:
    if layer.running_mean is None or not layer.affine:
        raise UsageError("describe: only BatchNorm with running statistics and weights has a kind")
    return [{"kind": "batch_norm", "name": name, "eps": layer.eps}]


@describe.register(nn.AvgPool2d)
def _(layer: nn.AvgPool2d, name: str = "") -> Description:
    size, stride, padding = layer.kernel_size, layer.stride, layer.padding
    plain = layer.count_include_pad and not layer.ceil_mode and layer.divisor_override is None
    if not (isinstance(size, int) and isinstance(stride, int) and isinstance(padding, int)):
        plain = False
    if not plain:
        raise UsageError("describe: only square, plain average-pooling has a kind")
    return [{"kind": "avg_pool", "size": size, "stride": stride, "padding": padding}]
