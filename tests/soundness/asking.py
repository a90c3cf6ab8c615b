"""What hunts share: refusals told from answers, planted bounds, and one small published net.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor, nn

import zoo.certification.evaluate
import zoo.propagation
import zoo.publishing.release
from zoo.attacks import Attack
from zoo.bounds import Bound, Margins
from zoo.cards.card import Training
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.errors import ZooError
from zoo.models import LinfDistMLP, fold
from zoo.rounding import NAIVE, Reading

BOUNDS = ("lipschitz", "interval")


def margins(
    net: nn.Module, lower: Tensor, upper: Tensor, y_B: Tensor, reading: Reading = NAIVE
) -> Tensor:
    """Margins by intervals over any ends."""
    steps, _ = zoo.propagation.steps_of(net)  # by their module, where bugs are planted
    reach = zoo.propagation.Reach(steps, (lower, upper), reading)
    return zoo.propagation.interval_margins(reach, y_B)


def refuses(ask: Callable[[], object]) -> bool:
    """Whether the package refuses in its own words; any other error passes on."""
    try:
        ask()
    except ZooError:
        return True
    return False


class Planted(Bound):
    """A bound that gives the margins that it was given, and calls `on_sweep` first."""

    name = "planted"

    def __init__(
        self,
        naive_BK: Tensor,
        real_BK: Tensor,
        deployed_BK: Tensor,
        on_sweep: Callable[[], object] = lambda: None,
    ):
        self.margins, self.on_sweep = Margins(naive_BK, real_BK, deployed_BK), on_sweep

    def __call__(self, model, box, y_B) -> Tensor:
        return self.margins.naive_BK

    def real(self, model, box, y_B) -> Tensor:
        return self.margins.real_BK

    def deployed(self, model, box, y_B) -> Tensor:
        return self.margins.deployed_BK

    def sweep(self, model, model64, x_BCHW, y_B, radii, clip):
        self.on_sweep()
        yield from [self.margins] * len(radii)


class Corner(Attack):
    """The lightest corner of the ball, for nets that it sometimes breaks."""

    def run(self, model: nn.Module, box, y_B: Tensor) -> Tensor:
        return box.upper_BCHW

    def __str__(self) -> str:
        return "corner()"


@torch.no_grad()
def points_net(*weights: float) -> LinfDistMLP:
    """One pixel; the logit of class k is minus the pixel's distance from weights[k]."""
    net = LinfDistMLP(1, in_chans=1, img_size=1, num_classes=len(weights), folded=True).eval()
    net.layers.dist1.weight.copy_(torch.tensor(weights)[:, None])
    return net


ONE_PIXEL, FIRST = torch.zeros(1, 1, 1, 1), torch.tensor([0])


@torch.no_grad()
def digit_net(seed: int = 0) -> LinfDistMLP:
    """A folded random net for digits, sharp enough to certify some of them."""
    torch.manual_seed(seed)
    return fold(LinfDistMLP(3, width=16, in_chans=1, img_size=8, mean=0.3, std=0.37).eval())


def digits(n: int = 60) -> Pixels:
    """Test digits; a new object each time, as it keeps its table of pixel values."""
    return load_data("digits", "test").take(n)


@functools.cache
def published() -> Path:
    """A weight folder measured on all test digits; made once, see `hunts.prepare`."""
    parent = Path(tempfile.mkdtemp(prefix="soundness-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    return publish(digit_net(), digits(360), parent)


def publish(net: LinfDistMLP, test: Pixels, parent: Path) -> Path:
    """Release a net with a card that says nothing of its training."""
    zero = Fraction(0)
    training = Training(
        recipe={},
        seed=0,
        selected_epoch=0,
        validation_certified_acc=zero,
        seconds=zero,
        device="cpu",
        torch="",
        python="",
        zoo="",
        commit="",
    )
    about = {"mean": net.mean, "std": net.std, "training": training, "source": "", "reported": {}}
    claim = zoo.publishing.release.Claim(
        "linf_dist_mlp3.digits_eps0.02", "linf_dist_mlp3", Fraction(1, 50), "lipschitz"
    )
    measuring = zoo.publishing.release.Measuring(Corner(), quiet=True)
    return zoo.publishing.release.release(net, claim, about, test, parent, measuring)
