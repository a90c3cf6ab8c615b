"""Objectives of nets with a head: the formulas by loops, the box's unit, and who is left out.

Shapes: B batch, K classes, F features.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.errors import UsageError
from zoo.models import LinfDistHybrid, LinfDistMLP, fold
from zoo.objectives import objectives

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["head_hinge", "head_cross_entropy"]
STD = 0.25
SCALE = {"scale": torch.tensor(0.7, dtype=torch.float64)}


def random_net(seed: int = 0) -> LinfDistHybrid:
    """In eval mode, so that features are functions of one image each."""
    torch.manual_seed(seed)
    sizes = {"num_classes": 4, "in_chans": 1, "img_size": 2, "mean": 0.4, "std": STD}
    net = LinfDistHybrid(2, width=6, head_width=5, **sizes).double()
    with torch.no_grad():
        net.train()(torch.rand(200, 1, 2, 2).double())  # running means come nearer
    return net.eval()


def batch(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    x_BCHW = torch.rand(count, 1, 2, 2, generator=g, dtype=torch.float64)
    return x_BCHW, torch.randint(0, 4, (count,), generator=g)


def worst_vector(net: LinfDistHybrid, z_F: np.ndarray, y: int, radius: float) -> np.ndarray:
    """Largest f_k - f_y over a box of features, by loops; 0 at k = y."""
    one, two = net.head.linear1, net.head.linear2
    weight1, weight2 = (
        layer.weight.detach().numpy() * getattr(layer, "scale", 1.0) for layer in (one, two)
    )
    bias1, bias2 = (layer.bias.detach().numpy() for layer in (one, two))
    low_H, high_H = [], []
    for w_F, b in zip(weight1, bias1, strict=True):
        middle, half = sum(w_F * z_F) + b, radius * sum(abs(w_F))
        low_H.append(np.tanh(middle - half))
        high_H.append(np.tanh(middle + half))
    found = []
    for k in range(len(bias2)):
        pair_H = weight2[k] - weight2[y]
        ends = zip(pair_H, low_H, high_H, strict=True)
        found.append(sum(max(w * a, w * b) for w, a, b in ends) + bias2[k] - bias2[y])
    return np.array(found)


def cross_entropy(logits_K: np.ndarray, y: int) -> float:
    return float(np.log(np.exp(logits_K).sum()) - logits_K[y])


def wanted(name: str, net: LinfDistHybrid, eps: float, weight: float) -> float:
    x_BCHW, y_B = batch()
    with torch.no_grad():
        z_BF, logits_BK = net.features(x_BCHW).numpy(), net(x_BCHW).numpy()
    radius = eps / (1.0 if net.folded else STD)
    total = 0.0
    for z_F, logits_K, y in zip(z_BF, logits_BK, y_B.tolist(), strict=True):
        worst_K = worst_vector(net, z_F, y, radius)
        if name == "head_cross_entropy":
            total += weight * cross_entropy(worst_K, y)
            total += (1 - weight) * cross_entropy(logits_K, y)
            continue
        others = [k for k in range(4) if k != y]
        if logits_K.argmax() == y:
            total += max(0.0, *(worst_K[k] + 1 for k in others))
        total += weight * cross_entropy(SCALE["scale"].item() * logits_K, y)
    return total / len(x_BCHW)


@pytest.mark.parametrize("form", ["training", "folded"])
@pytest.mark.parametrize("eps", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_formula(name, weight, eps, form):
    net = random_net() if form == "training" else fold(random_net())
    extra = {"kappa": weight} if name == "head_cross_entropy" else {}
    objective = objectives[name](name=name, **extra)
    loss = objective(net, *batch(), {"eps": eps, "lam": weight}, SCALE)
    assert loss.loss.item() == pytest.approx(wanted(name, net, eps, weight), rel=1e-9)
    assert torch.equal(loss.logits_BK, net(batch()[0]))


def test_the_two_forms_have_one_loss():
    net = random_net()
    for name in NAMES:
        losses = [
            objectives[name](name=name)(form, *batch(), {"eps": 0.1, "lam": 0.2}, SCALE).loss
            for form in (net, fold(net))
        ]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)


def test_the_hinge_leaves_misclassified_images_and_wide_margins_alone():
    net, (x_BCHW, y_B) = random_net(), batch()
    with torch.no_grad():
        net.head.linear2.weight.mul_(20)
        logits_BK = net(x_BCHW)
        y_B[:30] = logits_BK[:30].argmax(1)
    x_BCHW.requires_grad_()
    knobs = {"eps": 1e-3, "lam": 0.0}
    objectives["head_hinge"](name="head_hinge")(net, x_BCHW, y_B, knobs, SCALE).loss.backward()
    pulled_B = (x_BCHW.grad != 0).flatten(1).any(1)
    with torch.no_grad():
        short_B = torch.tensor(
            [
                np.delete(worst_vector(net, z_F, y, 1e-3 / STD), y).max() > -1
                for z_F, y in zip(net.features(x_BCHW).numpy(), y_B.tolist(), strict=True)
            ]
        )
    right_B = logits_BK.argmax(1) == y_B
    assert pulled_B.equal(right_B & short_B)
    assert pulled_B.any() and (right_B & ~short_B).any() and (~right_B & short_B).any()


def test_gradients_reach_body_and_head_and_the_scale_is_trained():
    net = random_net().train()
    for name in NAMES:
        objective = objectives[name](name=name)
        own = {key: value.requires_grad_() for key, value in objective.parameters().items()}
        assert list(own) == (["scale"] if name == "head_hinge" else [])
        net.zero_grad()
        objective(net, *batch(), {"eps": 0.01, "lam": 0.1}, own).loss.backward()
        assert all(bool((p.grad != 0).any()) for p in [*net.parameters(), *own.values()])


@pytest.mark.parametrize("name", NAMES)
def test_a_net_without_a_head_is_refused(name):
    net = LinfDistMLP(3, width=4, num_classes=4, in_chans=1, img_size=2).double()
    with pytest.raises(UsageError, match="LinfDistMLP has no head"):
        objectives[name](name=name)(net, *batch(), {"eps": 0.1, "lam": 0.1}, SCALE)


@pytest.mark.parametrize("name", ["hinge", "mixture"])
def test_an_objective_that_needs_a_constant_refuses_a_net_with_a_head(name):
    with pytest.raises(UsageError, match="states no positive Lipschitz constant"):
        objectives[name](name=name)(random_net(), *batch(), {"eps": 0.1, "lam": 0.1}, SCALE)
