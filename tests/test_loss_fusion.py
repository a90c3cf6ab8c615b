"""Loss fusion against the formula by hand, and what holds of it on all nets.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from term_cases import SIDE, images, net_of, term, view_of
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.terms import View
from zoo.terms.fused_cross_entropy import _mean_decay

pytestmark = pytest.mark.usefixtures("one_thread")


def linear_net(num_classes: int, seed: int, scale: float = 1.0) -> nn.Module:
    """Flatten and one linear layer, in float64: every backward bound is exact there."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, num_classes)).double()
    with torch.no_grad():
        net[1].weight *= scale
    return net


def fused_by_hand(net: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps: float) -> float:
    """Chords and the largest value of their sum, class by class, without any shift."""
    weight, bias = (t.detach().numpy() for t in (net[1].weight, net[1].bias))
    losses = []
    for x, y in zip(x_BCHW.flatten(1).numpy(), y_B.tolist(), strict=True):
        low, high = np.clip(x - eps, 0, 1), np.clip(x + eps, 0, 1)
        bound, form, offset = 1.0, np.zeros_like(x), 0.0
        for k in set(range(len(bias))) - {y}:
            w, b = weight[k] - weight[y], bias[k] - bias[y]
            least, most = (
                np.where(w > 0, ends[0], ends[1]) @ w + b for ends in ((low, high), (high, low))
            )
            slope = (math.exp(most) - math.exp(least)) / (most - least)
            bound += math.exp(least) - slope * least
            form, offset = form + slope * w, offset + slope * b
        bound += np.where(form > 0, high, low) @ form + offset
        losses.append(math.log(bound))
    return float(np.mean(losses))


@pytest.mark.parametrize("num_classes", [2, 3, 7])
@pytest.mark.parametrize("bound", ["crown_ibp", "cap", "deepz", "smooth_tight", "alpha_crown"])
def test_fused_cross_entropy_is_the_formula(num_classes, bound) -> None:
    net, (x_BCHW, _) = linear_net(num_classes, num_classes), images()
    x_BCHW, y_B = x_BCHW.double(), torch.arange(len(x_BCHW)) % num_classes
    view = View(net, x_BCHW, y_B, 0.3)
    found = term("fused_cross_entropy", bound=bound)(view, {}).item()
    assert found == pytest.approx(fused_by_hand(net, x_BCHW, y_B, 0.3), rel=1e-9)
    robust = term("robust_cross_entropy")(view, {}).item()
    if num_classes == 2:  # the chord touches exp where the one margin is least
        assert found == pytest.approx(robust, rel=1e-9)
    assert term("cross_entropy")(view, {}).item() < found


@pytest.mark.parametrize("bound", ["crown_ibp", "crown_ibp_zero", "crown", "smooth_tight", "hbox"])
@pytest.mark.parametrize("name", ["conv1", "cap_resnet", "cnn7_bn"])
def test_fused_cross_entropy_is_never_below_that_of_an_image_in_the_box(name, bound) -> None:
    net = net_of(name, channels=2)
    view = view_of(net, 0.02)
    loss = term("fused_cross_entropy", bound=bound)(view, {})
    lower_BCHW, upper_BCHW = view.reach.box
    for _ in range(6):
        share = torch.rand_like(lower_BCHW).round()
        logits_BK = view.logits_at(lower_BCHW + share * (upper_BCHW - lower_BCHW))
        assert F.cross_entropy(logits_BK, view.y_B) <= loss + 1e-5
    assert term("adversarial_cross_entropy")(view, {}) <= loss + 1e-5
    loss.backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_fused_cross_entropy_goes_to_the_clean_one_with_eps() -> None:
    net = net_of("conv1", channels=2).double()
    x_BCHW, y_B = images()
    gaps = []
    for eps in (1e-2, 1e-3, 1e-4, 0.0):
        view = View(net, x_BCHW.double(), y_B, eps)
        clean, fused = (term(n)(view, {}).item() for n in ("cross_entropy", "fused_cross_entropy"))
        gaps.append(fused - clean)
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2] > 0 and gaps[3] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 100.0, 3e4])
def test_fused_cross_entropy_neither_overflows_nor_loses_its_gradient(scale) -> None:
    net, (x_BCHW, y_B) = linear_net(4, 0, scale).float(), images()
    for eps in (0.0, 1e-7, 0.01, 1.0):
        net.zero_grad()
        loss = term("fused_cross_entropy")(View(net, x_BCHW, y_B, eps), {})
        loss.backward()
        assert 0 <= loss.item() < math.inf and net[1].weight.grad.isfinite().all()
        assert net[1].weight.grad.any()


def test_no_gradient_is_lost_to_the_shift() -> None:
    net, (x_BCHW, y_B) = linear_net(4, 3, 2.0), images(3)
    given = x_BCHW.double()

    def loss(weight: Tensor) -> Tensor:
        changed = copy.deepcopy(net)
        del changed[1]._parameters["weight"]
        changed[1].weight = weight
        return term("fused_cross_entropy", bound="cap_ibp")(View(changed, given, y_B, 0.2), {})

    weight = net[1].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (weight,), eps=1e-7, atol=1e-6)


def test_the_mean_decay_is_a_quotient_and_smooth_at_zero() -> None:
    width = torch.tensor([0.0, 1e-30, 1e-6, 0.00999, 0.01001, 1.0, 50.0, 1e4], dtype=torch.float64)
    exact = [1.0 if w == 0 else -math.expm1(-w) / w for w in width.tolist()]
    assert _mean_decay(width).tolist() == pytest.approx(exact, rel=1e-9)
    for dtype in (torch.float32, torch.float64):
        w = width.to(dtype).requires_grad_()
        _mean_decay(w).sum().backward()
        assert (-0.5 <= w.grad).all() and (w.grad[:4] < -0.49).all()


def test_bounds_without_linear_forms_are_refused() -> None:
    for name in ("interval", "cap_projected", "best"):
        with pytest.raises(UsageError, match="bounds no linear forms"):
            term("fused_cross_entropy", bound=name)(view_of(net_of("conv1", channels=2)), {})
