"""What must be refused: nets, images and settings that no certificate speaks of."""

from __future__ import annotations

import copy
import ctypes
import itertools
import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from soundness.asking import BOUNDS, Planted, refuses
from soundness.nets import SIDE, predictions, random_images, random_net
from zoo.bounds import bounds
from zoo.bounds.interval import Interval
from zoo.boxes import Box
from zoo.certification import Certifier, certify
from zoo.layers import MeanShift, Negate, Normalize
from zoo.layers import Residual as Branches
from zoo.rules import check_certifiable


class Residual(nn.Sequential):
    """What a rule that is inherited gets wrong."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def hunt() -> Iterator[str]:
    net, x_BCHW = random_net("normalized", 0), random_images(0, 4)
    y_B = predictions(net, x_BCHW)
    for bound in BOUNDS:
        if refuses(lambda: certify(net, x_BCHW, y_B, "0.01", bound=bound)):  # noqa: B023
            yield f"{bound}: a sound net is refused"
    sort = random_net("sorted", 0)
    if refuses(lambda: Certifier(sort)):
        yield "a sound net of order statistics is refused"
    for what, spoil in [*SPOILT.items(), *SPOILT_ORDERS.items()]:
        spoilt = copy.deepcopy(sort if what in SPOILT_ORDERS else net)
        with torch.no_grad():
            spoil(spoilt)
        if not refuses(lambda: Certifier(spoilt)):  # noqa: B023
            yield f"a certifier takes {what}"
        if not refuses(lambda: check_certifiable(spoilt)):  # noqa: B023
            yield f"check_certifiable passes {what}"
    for what, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        if not refuses(lambda: Certifier(copy.deepcopy(net).to(dtype))):  # noqa: B023
            yield f"a certifier takes {what}"
    yield from layers(x_BCHW)
    yield from images(net, x_BCHW, y_B)
    yield from settings(net, x_BCHW, y_B)
    yield from estimates(net)
    yield from crossing(x_BCHW)


def _fill(kind: type[nn.Module], tensor: str, value: float) -> Callable[[nn.Module], object]:
    def fill(net: nn.Module) -> None:
        layer = next(layer for layer in net.modules() if isinstance(layer, kind))
        getattr(layer, tensor).view(-1)[0] = value

    return fill


def _train(kind: type[nn.Module]) -> Callable[[nn.Module], object]:
    return lambda net: next(m for m in net.modules() if isinstance(m, kind)).train()


def _exponent_of_one(net: nn.Module) -> None:
    net.layers.dist2.p = 1000.0


SPOILT: dict[str, Callable[[nn.Module], object]] = {
    "p = 8": lambda net: setattr(net, "p", 8.0),
    "p = 1000 in one layer": _exponent_of_one,
    "a net in train mode": lambda net: net.train(),
    "a MeanShift in train mode": _train(MeanShift),
    "a Negate in train mode": _train(Negate),
    "a NaN weight": lambda net: net.layers.dist1.weight[0].fill_(math.nan),
    "an infinite weight": lambda net: net.layers.dist3.weight[0].fill_(math.inf),
    "a NaN bias": lambda net: net.layers.dist3.bias[0].fill_(math.nan),
    "a NaN running mean": _fill(MeanShift, "running_mean_O", math.nan),
    "a negative std": _fill(Normalize, "std", -0.3),
    "std 0": _fill(Normalize, "std", 0.0),
    "a NaN std": _fill(Normalize, "std", math.nan),
    "tensors of two dtypes": lambda net: net.layers.dist2.double(),
}


def _order(change: Callable[[Tensor], object]) -> Callable[[nn.Module], object]:
    return lambda net: change(net.layers.dist2.order_K)


SPOILT_ORDERS: dict[str, Callable[[nn.Module], object]] = {
    "order weights that sum to 1.3": _order(lambda v_K: v_K.mul_(1.3)),
    "order weights that sum to a little more than 1": _order(
        lambda v_K: v_K[0].add_(1 - v_K.double().sum() + 2.0**-23)
    ),
    "a negative order weight": _order(lambda v_K: v_K[-1].neg_()),
    "an order weight of 0": _order(lambda v_K: v_K[-1].zero_()),
    "a NaN order weight": _order(lambda v_K: v_K[-1].fill_(math.nan)),
    "order statistics at p = 1000": _exponent_of_one,
}


def layers(x_BCHW: Tensor) -> Iterator[str]:
    """Layers that compute something else than their rule says, or that have none."""
    torch.manual_seed(0)
    flat, linear = nn.Flatten(), nn.Linear(4, 3)
    hooked, before, replaced = (copy.deepcopy(linear) for _ in range(3))
    hooked.register_forward_hook(lambda layer, args, out: out * 2)
    before.register_forward_pre_hook(lambda layer, args: (args[0] * 2,))
    replaced.forward = lambda x: 2 * x[:, :3]
    inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    whole = nn.Sequential(flat, linear)
    whole.register_forward_hook(lambda layer, args, out: out * 2)
    convolved = nn.Conv2d(1, 4, 1)
    convolved._conv_forward = lambda x, weight, bias: 2 * x.repeat(1, 4, 1, 1)
    overwriting = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4))
    nets = {
        "a forward hook": nn.Sequential(flat, hooked),
        "a forward pre-hook": nn.Sequential(flat, before),
        "a hook of the whole net": whole,
        "a forward that was replaced": nn.Sequential(flat, replaced),
        "a method that was replaced": nn.Sequential(convolved, flat, nn.Linear(16, 3)),
        "a layer that overwrites its input": nn.Sequential(flat, Branches(overwriting), linear),
        "channels that are not the last axis": nn.Sequential(
            nn.Conv2d(1, 4, 1), nn.Flatten(2), nn.BatchNorm1d(4), flat, nn.Linear(16, 3)
        ),
        "an average with a negative divisor": nn.Sequential(
            nn.AvgPool2d(1, divisor_override=-1), flat, linear
        ),
        "a Sequential with a forward of its own": nn.Sequential(flat, Residual(*inner), linear),
        "a layer that has no rule": nn.Sequential(flat, nn.Softplus(), linear),
        "maxima of padding alone": nn.Sequential(nn.MaxPool2d(2, 3, 1, 3), flat, nn.Linear(1, 3)),
        "statistics of the batch in eval mode": nn.Sequential(
            nn.BatchNorm2d(1, track_running_stats=False), flat, linear
        ),
        "branches of two shapes": nn.Sequential(
            nn.Conv2d(1, 2, 1),
            Branches(nn.Conv2d(2, 2, 2, stride=2), nn.Conv2d(2, 2, 1)),
            *(flat, nn.Linear(8, 3)),
        ),
        "a variance that is 0 in the program": nn.Sequential(
            nn.BatchNorm2d(1, eps=1e-50), flat, linear
        ),
        "another padding": nn.Sequential(
            nn.Conv2d(1, 3, 2, padding=1, padding_mode="reflect"), flat, nn.Linear(27, 3)
        ),
    }
    y_B = torch.zeros(len(x_BCHW), dtype=torch.int64)
    for what, net in nets.items():
        net.eval()
        if not refuses(lambda: certify(net, x_BCHW, y_B, "0.01", bound="interval")):  # noqa: B023
            yield f"the interval bound takes {what}"
    body = random_net("folded", 0)
    body.layers.dist2.register_forward_hook(lambda layer, args, out: out * 2)
    if not refuses(lambda: certify(body, x_BCHW, y_B, "0.01", bound="lipschitz")):
        yield "the Lipschitz bound takes a forward hook"


def images(net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Iterator[str]:
    def ask(x: Tensor = x_BCHW, y: Tensor = y_B, eps: float | str = "0.01") -> bool:
        return refuses(lambda: certify(net, x, y, eps))

    for eps in (-0.1, 1.5, math.nan, math.inf, "8", "-1/255"):
        if not ask(eps=eps):
            yield f"eps {eps} is taken"
    for what, x in (
        ("pixels above 1", x_BCHW + 0.5),
        ("pixels below 0", x_BCHW - 0.5),
        ("NaN pixels", x_BCHW * math.nan),
        ("float64 pixels for a float32 net", x_BCHW.double()),
        ("images of another shape", torch.rand(4, 1, SIDE + 1, SIDE + 1)),
    ):
        if not ask(x):
            yield f"{what} are taken"
    for y in (y_B + 3, y_B - 3, y_B[:1], y_B.int()):
        if not ask(y=y):
            yield f"labels {y.tolist()} of {y.dtype} are taken"


def settings(net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Iterator[str]:
    def ask() -> bool:
        return refuses(lambda: certify(net, x_BCHW, y_B, "0.01"))

    with torch.autocast("cpu", torch.bfloat16):
        if not ask():
            yield "autocast is taken"
    for name, value in (("NVIDIA_TF32_OVERRIDE", "1"), ("CUBLAS_EMULATION_STRATEGY", "eager")):
        with environment(name, value):
            if not ask():
                yield f"{name}={value} is taken"
    if platform.machine() in ("x86_64", "AMD64"):
        for direction in (0x400, 0x800, 0xC00):  # down, up, to zero
            with rounding(direction):
                refused = ask()
            if not refused:
                yield f"rounding direction {direction:#x} is taken"


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextmanager
def rounding(direction: int) -> Iterator[None]:
    libm = ctypes.CDLL("libm.so.6")
    libm.fesetround(direction)
    try:
        yield
    finally:
        libm.fesetround(0)


def estimates(net: nn.Module) -> Iterator[str]:
    class Estimate(Planted):
        sound = False

    list(bounds)  # loads them
    bounds._entries["estimate"] = Estimate
    try:
        none = torch.zeros(0)
        Estimate.__init__ = lambda self: Planted.__init__(self, none, none, none)
        if not refuses(lambda: Certifier(net, "estimate")):
            yield "a bound that is an estimate certifies"
    finally:
        del bounds._entries["estimate"]


def crossing(x_BCHW: Tensor) -> Iterator[str]:
    """A box whose ends have crossed somewhere below is a bug, never to be repaired."""
    nets = (nn.Sequential(nn.Flatten()), nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    y_B = torch.zeros(len(x_BCHW), dtype=torch.int64)
    crossed = Box(x_BCHW, 0, (x_BCHW + 0.1).clamp(0, 1), (x_BCHW - 0.1).clamp(0, 1), True)
    for net, notion in itertools.product(nets, ("real", "deployed", "__call__")):
        if not refuses(lambda: getattr(Interval(), notion)(net.eval(), crossed, y_B)):  # noqa: B023
            yield f"ends that cross are repaired ({notion})"
