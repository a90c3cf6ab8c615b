"""Stepwise bounds of a point are its own margins but for rounding, which they must account for.

Shapes: B batch, I in features, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from soundness import exact
from soundness.nets import CLASSES, random_images, random_net
from tests import oracles
from zoo.bounds import bounds
from zoo.boxes import Box
from zoo.rounding import cast_down

NAMES = ("crown_ibp", "crown", "cap", "deepz", "hbox", "best")


@torch.no_grad()
def hunt() -> Iterator[str]:
    for seed in range(3):
        for name in NAMES:
            yield from exact_margins(name, seed)
            yield from programs(name, seed)
            yield from barely_dead(name, seed)


def exact_margins(name: str, seed: int) -> Iterator[str]:
    """The real reading is not above the exact margin, in float32 nor in a sweep."""
    net, x_BCHW = random_net("relu", seed), random_images(seed, 6)
    if seed == 0:  # nothing but sums
        net = nn.Sequential(*[layer for layer in net if type(layer) is not nn.ReLU]).eval()
    y_B, within = torch.arange(6) % CLASSES, _point(x_BCHW)
    wanted = _margins(exact.forward(net, oracles.exactly(x_BCHW)), y_B)
    others = np.arange(CLASSES) != y_B.numpy()[:, None]
    wide = copy.deepcopy(net).double()
    (swept,) = bounds[name]().sweep(net, wide, x_BCHW, y_B, [Fraction(0)], True)
    narrow = [] if name == "best" else [bounds[name]().real(net, within, y_B)]
    for real_BK in [*narrow, swept.real_BK]:
        if (oracles.exactly(real_BK) > wanted)[others].any():
            yield f"{name}: a real margin is above the exact one"
    if (swept.deployed_BK.double() > margins_of_all_orders(net, x_BCHW, y_B)).any():
        yield f"{name}: a deployed margin is above the program's"


def programs(name: str, seed: int) -> Iterator[str]:
    """A first layer that cancels: its error is what the logits err by."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, CLASSES)).eval()
    net[1].weight.mul_(1e4)
    net[1].weight[:, 3] = -net[1].weight[:, :3].sum(1)
    x_BCHW, y_B = random_images(seed, 1).expand(6, 1, 2, 2), torch.arange(6) % CLASSES
    x_BCHW = x_BCHW.mean((2, 3), keepdim=True) * (1 - 1e-4 * torch.rand(6, 1, 2, 2))
    deployed_BK = bounds[name]().deployed(net, _point(x_BCHW), y_B)
    if (deployed_BK.double() > margins_of_all_orders(net, x_BCHW, y_B)).any():
        yield f"{name}: a deployed margin is above the program's, whose first layer cancels"


def barely_dead(name: str, seed: int) -> Iterator[str]:
    """Neurons that are below 0 by less than the program errs: some of them live in it."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, CLASSES)).eval()
    net[1].weight.mul_(1e4)
    x_BCHW, y_B = random_images(seed, 1), torch.tensor([seed % CLASSES])
    exactly_O = net[1].weight.double() @ x_BCHW.double().flatten()
    net[1].bias.copy_(cast_down(-exactly_O, torch.float32))
    deployed_BK = bounds[name]().deployed(net, _point(x_BCHW), y_B)
    if (deployed_BK.double() > margins_of_all_orders(net, x_BCHW, y_B)).any():
        yield f"{name}: a deployed margin is above the program's, where neurons are barely dead"


def margins_of_all_orders(net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
    """The smallest margins that the program gives when it adds in some other orders."""
    flat, first, *rest = net
    x_BI = flat(x_BCHW)
    least = []
    for order in (torch.arange(4), torch.arange(4).flip(0), torch.tensor([0, 3, 1, 2])):
        terms = (x_BI[:, None] * first.weight)[..., order].numpy()
        sums = np.add.accumulate(terms, 2, dtype=np.float32)[..., -1]
        value = torch.from_numpy(sums) + first.bias
        for layer in rest:
            value = layer(value)
        least.append(_margins(value.double(), y_B))
    least_BK = torch.stack([*least, _margins(net(x_BCHW).double(), y_B)]).amin(0)
    return least_BK.scatter(1, y_B[:, None], 0.0)


def _point(x_BCHW: Tensor) -> Box:
    """A box without a width, which no function of the package makes."""
    return Box(x_BCHW, Fraction(0), x_BCHW, x_BCHW, clip=True)


def _margins(logits_BK, y_B: Tensor):
    own = logits_BK[np.arange(len(y_B)), y_B.numpy()]
    return own[:, None] - logits_BK
