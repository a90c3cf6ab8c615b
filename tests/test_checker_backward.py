"""The checker's backward bounds against the package's, and against points of the ball.

Shapes: B boxes, P points, C/H/W image, 2 ends of a box, K classes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from soundness.nets import CLASSES, random_images, random_net, sharpen_norms
from torch import Tensor, nn

from tests.checker_tool import checker
from zoo.bounds import create_bound
from zoo.boxes import box
from zoo.rules import describe

pytestmark = pytest.mark.usefixtures("one_thread")
BOUNDS = checker.backward_bounds.BOUNDS
EPS = "1/16"


def convolutional(seed: int) -> nn.Module:
    """Kernels that leave a pixel over, a stride, and statistics of a BatchNorm."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 2, stride=1, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 2, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )
    sharpen_norms(net)
    return net.eval()


NETS = {
    "relu": lambda seed: random_net("relu", seed),
    "residual": lambda seed: random_net("residual", seed),
    "convolutional": convolutional,
}


def checked(net: nn.Module, x_2BCHW: np.ndarray, y_B: Tensor, name: str, program: bool):
    tensors: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in net.state_dict().items():
        layer, _, own = key.rpartition(".")
        tensors.setdefault(layer, {})[own] = checker.enclosures.numbers(tensor.numpy(), np.float64)
    return checker.backward_bounds.margins(
        describe(net), tensors, x_2BCHW, y_B.numpy(), name, program
    )


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("name", [name for name in BOUNDS if name != "best"])
@torch.no_grad()
def test_margins_are_those_of_the_package(kind, name):
    for seed in range(3):
        net, x_BCHW = NETS[kind](seed), random_images(seed, 6)
        y_B, around = torch.arange(6) % CLASSES, box(x_BCHW, EPS)
        ends = torch.stack([around.lower_BCHW, around.upper_BCHW]).double().numpy()
        a_BK, b_BK = (checked(net, ends, y_B, name, program) for program in (False, True))
        found = create_bound(name).at(net, NETS[kind](seed).double(), x_BCHW, y_B, around.eps, True)
        np.testing.assert_allclose(a_BK, found.real_BK.numpy(), rtol=0, atol=1e-9)
        np.testing.assert_allclose(b_BK, found.deployed_BK.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("name", BOUNDS)
@torch.no_grad()
def test_no_point_of_the_ball_has_a_smaller_margin(kind, name):
    net, x_BCHW = NETS[kind](7), random_images(7, 4)
    y_B, around = torch.arange(4) % CLASSES, box(x_BCHW, EPS)
    ends = torch.stack([around.lower_BCHW, around.upper_BCHW])
    a_BK, b_BK = (checked(net, ends.double().numpy(), y_B, name, p) for p in (False, True))
    share = torch.rand(200, *x_BCHW.shape, generator=torch.Generator().manual_seed(0))
    share[:100] = share[:100].round()
    points = ends[0] + share * (ends[1] - ends[0])
    points = torch.where(share == 1, ends[1], points).clamp(ends[0], ends[1])
    wide = NETS[kind](7).double()
    for point_BCHW in points:
        for model, x, low_BK in ((wide, point_BCHW.double(), a_BK), (net, point_BCHW, b_BK)):
            logits_BK = model(x).double()
            margins_BK = (logits_BK.gather(1, y_B[:, None]) - logits_BK).numpy()
            others_BK = np.arange(CLASSES) != y_B.numpy()[:, None]
            assert (margins_BK + 1e-12 >= low_BK)[others_BK].all()
