"""Programs at the ends of what floats can hold, and nets that are not what they seem.

Each net here is certified by a bound that overlooks one thing, and gives another class in its ball.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules import module

from soundness.asking import refuses
from zoo.certification import certify
from zoo.layers import Normalize
from zoo.models import LinfDistMLP


def hunt() -> Iterator[str]:
    for what, (net, x, eps) in NETS.items():
        if _is_certified(net(), x, eps):
            yield f"{what} is certified"
    for name in ("NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):
        os.environ[name] = "BF16"
        try:
            if _is_certified(_spread(), 0.5, "1/1000"):
                yield f"{name} may round operands, and a net is certified"
        finally:
            del os.environ[name]
    for what, alter in ALTERED.items():
        yield from altered(what, alter)


def _is_certified(net: nn.Module, x: float, eps: object) -> bool:
    pixels = next((m.in_features for m in net.modules() if isinstance(m, nn.Linear)), 1)
    shape = net.input_shape if isinstance(net, LinfDistMLP) else (1, 1, pixels)
    x_BCHW = torch.full((1, *shape), x)
    bound = "lipschitz" if hasattr(net, "lipschitz") else "interval"
    found = []

    def ask() -> None:
        with torch.no_grad():
            y_B = net(x_BCHW).argmax(1)
        certificate = certify(net, x_BCHW, y_B, eps, bound=bound, clip=False)
        found.append(bool(certificate.certified_B))

    return not refuses(ask) and found[0]


@torch.no_grad()
def _overflowing_sum() -> nn.Module:
    """Four products that cancel in the centre; a partial sum is infinite a little beside it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    big = 1.705e38
    net[1].weight.copy_(torch.tensor([[0.0, 0, 0, 0], [-big, big, -big, big]]))
    net[1].bias.copy_(torch.tensor([1e38, 0.0]))
    return net


@torch.no_grad()
def _overflowing_distance() -> nn.Module:
    """1 / std and a weight so large that distances are infinite in a part of the ball."""
    net = LinfDistMLP(
        1, width=1, num_classes=2, in_chans=1, img_size=1, mean=-4.0, std=1.4e-38
    ).eval()
    net.layers.dist1.weight.copy_(torch.tensor([[3.3e38], [0.0]]))
    return net


@torch.no_grad()
def _nested_gain() -> nn.Module:
    """A Normalize within a Sequential within the net: the gain 10 counts there too."""
    net = LinfDistMLP(1, in_chans=1, img_size=1, num_classes=2, folded=True).eval()
    net.layers.dist1.weight.copy_(torch.tensor([[4.0], [8.0]]))
    net.layers = nn.Sequential(nn.Sequential(Normalize([0.0], 0.1)), *net.layers).eval()
    return net


@torch.no_grad()
def _spread() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    net[1].weight.copy_(torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    net[1].bias.zero_()
    return net


@torch.no_grad()
def _understated() -> nn.Module:
    """It says 1, and its first row has the norm 4."""
    net = _spread()
    net[1].bias.copy_(torch.tensor([0.0, 1.5]))
    net.lipschitz = 1.0
    return net


@torch.no_grad()
def _gains_that_cancel() -> nn.Module:
    """Gains of 1e25, twice, and back: 1 in all, and infinite in between beside the centre."""
    net = nn.Sequential(nn.Flatten(), *(nn.Linear(1, 1) for _ in range(3)), nn.Linear(1, 2)).eval()
    for layer, gain in zip(net[1:4], (1e25, 1e25, 1e-25), strict=True):
        layer.weight.fill_(gain)
        layer.bias.zero_()
    net[1].bias.fill_(-0.5e25)
    net[4].weight.copy_(torch.tensor([[0.0], [1e-25]]))
    net[4].bias.copy_(torch.tensor([0.5, 0.0]))
    net.lipschitz = 1.01
    return net


# What it is: the net, its image, eps.
NETS: dict[str, tuple[Callable[[], nn.Module], float, object]] = {
    "a sum that overflows": (_overflowing_sum, 0.9975, "1/1000"),
    "a distance that overflows": (_overflowing_distance, 0.7, "1/10"),
    "a constant below that of a Linear": (_understated, 0.5, "1/5"),
    "gains that cancel": (_gains_that_cancel, 0.5, "1/10"),
    "a gain that is nested": (_nested_gain, 0.4, "1/5"),
}


def _with_a_global_hook(net: nn.Module) -> Callable[[], None]:
    def turn(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if not isinstance(layer, nn.Linear):
            return output
        return torch.where(output[..., :1] > 2.001, output.flip(-1), output)  # the centre has 2

    return module.register_module_forward_hook(turn).remove


def _compiled(net: nn.Module) -> Callable[[], None]:
    net[1].compile(backend="eager")
    return lambda: None


ALTERED = {"a hook on all modules": _with_a_global_hook, "a layer that is compiled": _compiled}


def altered(what: str, alter: Callable[[nn.Module], Callable[[], None]]) -> Iterator[str]:
    net = _spread()
    undo = alter(net)
    try:
        if _is_certified(net, 0.5, "1/1000"):
            yield f"{what} is not seen"
    finally:
        undo()
