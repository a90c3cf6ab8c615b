"""Ground truth by construction (O7): nets with a planted counterexample must never be certified,
nets whose radius is known must be, up to it.

Shapes: B images, C/H/W image, D pixels, K classes.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soundness.nets import KINDS
from zoo.attacks.pgd import PGD
from zoo.certification import certify
from zoo.layers import LpDistLinear, Negate
from zoo.margins import margins_of, worst
from zoo.models import LinfDistMLP

pytestmark = pytest.mark.usefixtures("one_thread")


def hiding_net(seed: int) -> tuple[nn.Module, Tensor, Tensor, Fraction]:
    """A net that is right all over a ball but in a small place, which it was trained to get wrong
    (the idea of SoundnessBench, arXiv:2412.03154)."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)
    )
    eps, y = Fraction(1, 10), torch.tensor([seed % 3])
    x_BCHW = 0.2 + 0.6 * torch.rand(1, 1, 2, 2)
    sign = torch.where(torch.rand(x_BCHW.shape) < 0.5, -1.0, 1.0)
    hidden = x_BCHW + 0.97 * float(eps) * sign
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(600):
        elsewhere = x_BCHW + float(eps) * (2 * torch.rand(128, 1, 2, 2) - 1)
        far = ((elsewhere - hidden).abs().amax((1, 2, 3)) > 0.5 * float(eps)).float()
        right = (F.cross_entropy(net(elsewhere), y.expand(128), reduction="none") * far).mean()
        wrong = F.cross_entropy(net(hidden), (y + 1) % 3)
        optimizer.zero_grad()
        (right + wrong).backward()
        optimizer.step()
    return net.eval(), x_BCHW, y, eps


def test_a_net_with_a_hidden_counterexample_is_not_certified(times, tally) -> None:
    line = tally("hidden counterexamples", "certified", "missed by PGD")
    for seed in range(times(100, 3)):
        net, x_BCHW, y, eps = hiding_net(seed)
        with torch.no_grad():
            assert net(x_BCHW).argmax(1) == y
        found = PGD(steps=20)(net, x_BCHW, y, eps)
        with torch.no_grad():
            line["missed by PGD"] += int(net(found).argmax(1) == y)
            for clip in (True, False):
                line["certified"] += int(certify(net, x_BCHW, y, eps, clip=clip).certified_B)
        line["nets"] += 1
    assert line["certified"] == 0


@pytest.mark.parametrize("name", list(KINDS))
def test_nets_of_known_radius_are_certified_up_to_it(name, times, tally) -> None:
    """f_k = -max_d |x_d - w_kd| at x = w_y: the margin is min_k |w_y - w_k|, the radius half."""
    line = tally(f"known radius, {name} bound", "refused below it", "certified at it")
    for seed in range(times(2000, 40)):
        g = torch.Generator().manual_seed(seed)
        net = LinfDistMLP(1, in_chans=1, img_size=2, num_classes=4, folded=True).eval()
        centre_KD = 0.3 + 0.4 * torch.rand(4, 4, generator=g)
        with torch.no_grad():
            net.layers.dist1.weight.copy_(centre_KD)
            net.layers.dist1.bias.zero_()
        y = seed % 4
        others = [k for k in range(4) if k != y]
        radius = (
            min(
                max(
                    abs(Fraction(a.item()) - Fraction(b.item()))
                    for a, b in zip(centre_KD[y], centre_KD[k], strict=True)
                )
                for k in others
            )
            / 2
        )
        x_BCHW, y_B = centre_KD[y].reshape(1, 1, 2, 2), torch.tensor([y])
        below = radius * (1 - Fraction(1, 10**5))
        verdicts = [
            bool(certify(net, x_BCHW, y_B, eps, bound=name, clip=False).certified_B)
            for eps in (below, radius)
        ]
        line["refused below it"] += not verdicts[0]
        line["certified at it"] += verdicts[1]
        line["nets"] += 1
    assert line["refused below it"] == line["certified at it"] == 0


def test_a_spike_that_no_sample_meets_is_not_certified() -> None:
    """1e6 relu(1e5 (x - 0.599999)): wrong in a sliver of the box that sampling passes by."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).eval()
    with torch.no_grad():
        net[1].weight.fill_(1e5)
        net[1].bias.fill_(-59999.9)
        net[3].weight.copy_(torch.tensor([[0.0], [1e6]]))
        net[3].bias.copy_(torch.tensor([1.0, 0.0]))
    x_BCHW, y_B = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    samples = 0.4 + 0.2 * torch.rand(500, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        lowest = worst(margins_of(net(samples), y_B.expand(500)), y_B.expand(500))
    assert (lowest > 0).all()
    assert not certify(net, x_BCHW, y_B, "1/10").certified_B
    assert certify(net, x_BCHW, y_B, "9/100").certified_B


def test_what_rounding_swallows_in_the_program_is_not_proved_for_the_function() -> None:
    """Beside a weight of 2^24 the images' own differences vanish in float32, not in truth."""
    net = nn.Sequential(nn.Flatten(), LpDistLinear(1, 2, bias=True), Negate()).eval()
    net.lipschitz = 1.0
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[2.0**24], [-(2.0**24)]]))
        net[1].bias.copy_(torch.tensor([0.0, 0.5]))
    x_BCHW, y_B = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    # f_0 - f_1 = 2 x + 1/2: at eps = 1/2 it stays above 0, at 1 (not clipped) it does not.
    for name in KINDS:
        certificate = certify(net, x_BCHW, y_B, 1, bound=name, clip=False)
        assert not certificate.real_B and not certificate.certified_B
