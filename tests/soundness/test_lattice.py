"""Every image there is: float16 nets on two pixels, all float16 images of a ball tried (S3).

Bounds hold in any dtype, and in float16 a ball can be searched to its last point: nothing is left
to luck, and rounding is 8,192 times coarser than in float32.

Shapes: B images, P all images of a ball, K classes.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo.bounds import Bound, bounds
from zoo.boxes import box
from zoo.layers import LpDistLinear, Negate
from zoo.margins import margins_of, worst

pytestmark = pytest.mark.usefixtures("one_thread")
_ALL = np.arange(2**16, dtype=np.uint16).view(np.float16)
LARGEST = Fraction(1, 16)
FLOATS = np.sort(_ALL[np.isfinite(_ALL) & (_ALL >= 0) & (_ALL <= 1) & ~np.signbit(_ALL)])


def half_net(kind: str, seed: int) -> nn.Module:
    """Two or three layers on two pixels, in float16."""
    torch.manual_seed(seed)
    if kind == "distance":
        sizes = [2, 4, 3] if seed % 2 else [2, 4, 4, 3]
        dists = [LpDistLinear(a, b, bias=True) for a, b in pairwise(sizes)]
        with torch.no_grad():
            for dist in dists:
                assert dist.bias is not None
                dist.bias.normal_()
        net = nn.Sequential(nn.Flatten(), *dists, Negate())
        net.lipschitz = 1.0
    else:
        net = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    return net.half().eval()


def all_images(lower: Tensor, upper: Tensor) -> Tensor:
    """All float16 images between two."""
    axes = [
        FLOATS[(FLOATS >= low) & (FLOATS <= high)]
        for low, high in zip(lower.flatten().numpy(), upper.flatten().numpy(), strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return torch.from_numpy(grid.reshape(-1, 1, 1, 2))


def image_near_a_boundary(net: nn.Module, seed: int) -> tuple[Tensor, Tensor]:
    """An image whose ball is small enough to be searched, and its class."""
    g = torch.Generator().manual_seed(seed)
    x_BCHW = (0.25 + 0.75 * torch.rand(256, 1, 1, 2, generator=g)).half()
    with torch.no_grad():
        y_B = net(x_BCHW).argmax(1)
        margin_B = worst(margins_of(net(x_BCHW), y_B), y_B)
    at = int((margin_B.float() - 0.03).abs().argmin())
    return x_BCHW[at : at + 1], y_B[at : at + 1]


def border(bound: Bound, net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> Fraction | None:
    """Largest eps of 30 bits at which the bound holds for the program."""
    low, high = Fraction(0), LARGEST
    for _ in range(30):
        middle = (low + high) / 2
        with torch.no_grad():
            margins_BK = bound.deployed(net, box(x_BCHW, middle), y_B)
        if bool((worst(margins_BK, y_B) > 0).all()):
            low = middle
        else:
            high = middle
    return low or None


@pytest.mark.parametrize(
    ("name", "kind"), [("interval", "distance"), ("lipschitz", "distance"), ("interval", "relu")]
)
def test_no_image_of_the_ball_has_another_class(name, kind, times, tally) -> None:
    line = tally(f"every float16 image, {name} bound, {kind} nets", "broken")
    bound, naive = bounds[name](), 0
    for seed in range(times(1800, 70)):
        net = half_net(kind, seed)
        x_BCHW, y_B = image_near_a_boundary(net, seed)
        eps = border(bound, net, x_BCHW, y_B)
        if eps is None:
            continue
        points = all_images(*box(x_BCHW, eps).inner())
        y_P = y_B.expand(len(points))
        with torch.no_grad():
            lowest = worst(margins_of(net(points), y_P), y_P)
        line["nets"] += 1
        line["images"] += len(points)
        line["broken"] += int((~(lowest > 0)).any())
        naive += broken_without_slack(bound, net, x_BCHW, y_B)
    assert line["broken"] == 0 and line["nets"] > 0.8 * times(1800, 70)
    if name == "lipschitz":  # the control: without slack the same search finds broken ones
        line["broken without slack"] = naive
        assert naive > 0


def broken_without_slack(bound: Bound, net: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> bool:
    """Whether margin > 2 eps, rounding ignored, accepts an eps at which an image falls."""
    if bound.name != "lipschitz":
        return False
    with torch.no_grad():
        margin = worst(margins_of(net(x_BCHW), y_B), y_B).item()
        eps = Fraction(margin) / 2
        if not 0 < eps < LARGEST:
            return False
        points = all_images(*box(x_BCHW, eps).inner())
        y_P = y_B.expand(len(points))
        return bool((~(worst(margins_of(net(points), y_P), y_P) > 0)).any())
