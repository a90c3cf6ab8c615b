"""What a head adds: a last layer that is elided, and a function that some library computes.

Shapes: B batch, I in features, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from soundness import exact
from soundness.asking import margins
from soundness.nets import CLASSES, random_images, random_net
from tests import oracles
from zoo.boxes import box
from zoo.layers import ScaledLinear
from zoo.rounding import DEPLOYED, REAL
from zoo.rules import interval
from zoo.rules.activations import TANH_UNITS

KINDS = ("relu", "head", "hybrid", "hybrid_normalized")


@torch.no_grad()
def hunt() -> Iterator[str]:
    for seed, kind in enumerate(KINDS):
        yield from exact_margins(kind, seed)
    yield from any_order()
    yield from what_follows()
    yield from any_library()


def exact_margins(kind: str, seed: int) -> Iterator[str]:
    """Real margins are not above those of the exact layers, whatever the label."""
    net, x_BCHW = random_net(kind, seed).double(), random_images(seed, 2 * CLASSES).double()
    y_B = torch.arange(len(x_BCHW)) % CLASSES
    for eps in ("0", "1/20", "1/3"):
        within = box(x_BCHW, eps)
        ends = within.lower_BCHW, within.upper_BCHW
        found_BK = oracles.exactly(margins(net, *ends, y_B, REAL))
        if (found_BK > exact.margins(net, *map(oracles.exactly, ends), y_B.numpy())).any():
            yield f"{kind}: a real margin at eps {eps} is above the exact one"


def any_order() -> Iterator[str]:
    """Logits that are sums in whatever order differ by the deployed margins of their one input."""
    g = torch.Generator().manual_seed(0)
    for layer in (nn.Linear(96, 8), ScaledLinear(96, 8)):
        # rows that are nearly equal: little of a logit's rounding shows in their differences
        row_I = 100 * torch.randn(96, generator=g)
        layer.weight.copy_(row_I + 1e-3 * torch.randn(8, 96, generator=g))
        layer.bias.copy_(torch.randn(8, generator=g))
        x, y_B = torch.rand(4, 96, generator=g), torch.arange(4) + 2
        least_BK = margins(layer, x, x, y_B, DEPLOYED).double()
        weight = getattr(layer, "scaled_OI", layer.weight).detach().numpy()
        orders = [np.arange(96), np.arange(96)[::-1], np.argsort(weight[0]), np.argsort(-weight[1])]
        terms = x.numpy()[:, None] * weight[None]
        logits = [layer(x).double()]
        for order in orders:
            sums = np.add.accumulate(terms[..., order], 2, dtype=np.float32)[..., -1]
            logits.append(torch.from_numpy(sums + layer.bias.numpy()).double())
        # one program may add each row in an order of its own
        for own, other in itertools.product(logits, logits):
            if (own.gather(1, y_B[:, None]) - other < least_BK)[_wrong(y_B, 8)].any():
                yield f"{type(layer).__name__}: two sums in other orders are less than their margin"
                return


def _wrong(y_B: Tensor, num_classes: int) -> Tensor:
    return torch.arange(num_classes) != y_B[:, None]


def what_follows() -> Iterator[str]:
    """Only a layer that nothing follows is elided; in whatever it is nested."""
    torch.manual_seed(0)
    linear = nn.Linear(4, CLASSES)
    nets = {
        "a ReLU behind it": nn.Sequential(nn.Flatten(), linear, nn.ReLU()),
        "a ReLU behind it, nested": nn.Sequential(nn.Flatten(), nn.Sequential(linear, nn.ReLU())),
        "nothing": nn.Sequential(nn.Sequential(nn.Flatten(), linear), nn.Sequential()),
    }
    x_BCHW = random_images(0, 40)
    y_B = torch.arange(len(x_BCHW)) % CLASSES
    for what, net in nets.items():
        logits_BK = net(x_BCHW)
        clean_BK = logits_BK.gather(1, y_B[:, None]) - logits_BK
        if (margins(net, x_BCHW, x_BCHW, y_B, DEPLOYED) > clean_BK).any():
            yield f"a linear layer with {what}: a margin above that of the point itself"


def any_library() -> Iterator[str]:
    """One library gives the ends, another one runs; each is off by nearly what is assumed."""
    g = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(200, generator=g)
    y = np.array([oracles.tanh(v) for v in oracles.exactly(x)])

    def library(side: int, dtype: torch.dtype) -> Tensor:
        off = side * (TANH_UNITS - 1) * torch.finfo(dtype).eps
        return torch.tensor([float(v) * (1 + off) for v in y], dtype=dtype)

    for side in (-1, 1):
        low, high = DEPLOYED.function(lambda _: library(side, x.dtype), x, x, TANH_UNITS)  # noqa: B023
        if any((low > run).any() or (run > high).any() for run in _runs(library, x)):
            yield "Tanh: the deployed interval lacks what another library gives"
        low, high = REAL.function(lambda _: library(side, torch.float64), x, x, TANH_UNITS)  # noqa: B023
        if (oracles.exactly(low) > y).any() or (oracles.exactly(high) < y).any():
            yield "Tanh: the real interval lacks the exact value"
    low, high = interval(nn.Tanh(), x, x, DEPLOYED)
    if any((low > run).any() or (run > high).any() for run in _runs(library, x)):
        yield "Tanh: the deployed interval lacks what some library gives"


def _runs(library, x: Tensor) -> list[Tensor]:
    return [library(-1, x.dtype), library(1, x.dtype), torch.from_numpy(np.tanh(x.numpy()))]
