"""Terms of losses against formulas by hand, and what they share of a batch.

Shapes: B batch, K classes, C/H/W image; in references D entries of a value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from term_cases import CLASSES, SIDE, images, net_of, term, view_of
from torch import nn
from torch.nn import functional as F

import zoo.propagation.reach
from zoo.bounds import bounds
from zoo.boxes import box, naive_ends
from zoo.errors import UsageError
from zoo.objectives import objectives
from zoo.terms import Term, terms, total

pytestmark = pytest.mark.usefixtures("one_thread")

# ------------------------------------------------------------------------------------ formulas


def relu_inputs(net: nn.Module, lower: np.ndarray, upper: np.ndarray) -> list[np.ndarray]:
    """Ends (2, B, D) of the input of each ReLU of a net of linear layers, entry by entry."""
    found = []
    low, high = (end.reshape(len(end), -1) for end in (lower, upper))
    for layer in net.layers:
        if isinstance(layer, nn.Linear):
            weight, bias = (t.detach().double().numpy() for t in (layer.weight, layer.bias))
            above, below = np.maximum(weight, 0).T, np.minimum(weight, 0).T
            low, high = low @ above + high @ below + bias, high @ above + low @ below + bias
        elif isinstance(layer, nn.ReLU):
            found.append(np.stack([low, high]))
            low, high = np.maximum(low, 0), np.maximum(high, 0)
        elif type(layer).__name__ == "Normalize":
            mean, std = layer.mean_C.double().numpy(), layer.std.double().numpy()
            low, high = (low - mean) / std, (high - mean) / std
    return found


def reference(eps: float) -> tuple[nn.Module, list[np.ndarray], np.ndarray]:
    """A net, the ends of its ReLUs' inputs around its images, and the box's ends."""
    net, (x_BCHW, _) = net_of("fc5"), images()
    x = x_BCHW.double().numpy()
    ends = np.clip(np.stack([x - eps, x + eps]), 0, 1)
    return net, relu_inputs(net, *ends), ends


def test_relu_stability_and_triangle_area_are_the_formulas() -> None:
    net, relus, _ = reference(0.05)
    stability = area = 0.0
    for lower, upper in relus:
        for low, high in zip(lower.flatten(), upper.flatten(), strict=True):
            stability -= math.tanh(1 + low * high)
            area += max(-low, 0) * max(high, 0)
    assert len(relus) == 4 and area > 0
    for name, wanted in (("relu_stability", stability), ("triangle_area", area)):
        found = term(name)(view_of(net), {})
        assert found.item() == pytest.approx(wanted / len(images()[1]), rel=1e-4)


@pytest.mark.parametrize("eps", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_the_regularisers_of_warm_up_are_the_formulas(eps, tau) -> None:
    net, relus, ends = reference(max(eps, 1e-6))
    first = (ends[1] - ends[0]).mean() / 2 / 0.4
    tight = balance = 0.0
    for lower, upper in relus:
        tight += max(tau - first / ((upper - lower).mean() / 2), 0)
        middle = (lower + upper) / 2
        active, dead = lower > 0, upper < 0
        with np.errstate(divide="ignore", invalid="ignore"):
            by_mean = np.mean(middle * active) / -np.mean(middle * dead)
            square = (middle - middle.mean()) ** 2
            by_square = np.sum(square * active) / np.sum(square * dead)
            for ratio in (by_mean, by_square):
                short = tau - np.minimum(ratio, 1 / ratio)
                balance += 0 if np.isnan(short) else max(short, 0)
    assert balance > 0 or eps == 0.3  # there no neuron is stable
    for name, wanted in (("tightness", tight), ("balance", balance)):
        found = term(name, tau=tau)(view_of(net, eps), {})
        # middles of a box of 1e-6 have few digits in float32
        assert found.item() == pytest.approx(wanted / (tau * len(relus)), rel=2e-3, abs=1e-5)


def test_where_no_relu_is_stable_balance_has_nothing_to_say() -> None:
    assert term("balance")(view_of(net_of("fc5"), 1.0), {}).item() == 0


@pytest.mark.parametrize("name", ["tightness", "balance"])
def test_the_regularisers_have_gradients_at_the_start_of_the_ramp(name) -> None:
    net = net_of("fc5", width=20)
    with torch.no_grad():
        for layer in net.layers:
            if isinstance(layer, nn.Linear):
                layer.weight *= 3
                layer.bias += 0.2 if name == "balance" else 0
    loss = term(name, tau=1)(view_of(net, 0.0), {})
    loss.backward()
    grads = [layer.weight.grad for layer in net.layers if isinstance(layer, nn.Linear)]
    assert all(bool(grad.isfinite().all()) and bool(grad.any()) for grad in grads[:-1])
    before, after = loss.item(), 0.0
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad / parameter.grad.norm().clamp_min(1e-12)
        after = term(name, tau=1)(view_of(net, 0.0), {}).item()
    assert after < before


def test_l1_is_the_sum_over_weights_alone() -> None:
    net = net_of("cnn7_bn", channels=2)
    kinds = (nn.Linear, nn.Conv2d)
    weights = [m.weight for m in net.modules() if isinstance(m, kinds)]
    wanted = sum(float(np.abs(w.detach().double().numpy()).sum()) for w in weights)
    assert len(weights) == 7
    assert term("l1")(view_of(net, None), {}).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("theta", [0.0, 1.0, 3.0])
def test_robust_hinge_is_the_formula(theta) -> None:
    net, (x_BCHW, y_B) = net_of("conv1", channels=2), images()
    margins_BK = bounds["crown_ibp"]()(net, box(x_BCHW, "1/20"), y_B).tolist()
    worst = [
        min(m for k, m in enumerate(r) if k != y) for r, y in zip(margins_BK, y_B, strict=True)
    ]
    wanted = np.mean([max(theta - m, 0) for m in worst])
    found = term("robust_hinge", theta=theta, bound="crown_ibp")(view_of(net), {})
    assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixed_bound_mixes_margins_row_by_row(share) -> None:
    net, (x_BCHW, y_B) = net_of("conv1", channels=2), images()
    around = box(x_BCHW, "1/20")
    crown_BK, interval_BK = (bounds[name]()(net, around, y_B) for name in ("crown_ibp", "interval"))
    wanted = F.cross_entropy(-(share * crown_BK + (1 - share) * interval_BK), y_B)
    mixed = {"by": "beta", "of": ["crown_ibp", "interval"]}
    found = term("robust_cross_entropy", bound=mixed)
    assert found.knobs == {"eps", "beta"}
    view = view_of(net)
    torch.testing.assert_close(found(view, {"beta": share}), wanted, rtol=1e-4, atol=1e-5)
    assert set(view._margins) == {
        name for name, part in (("crown_ibp", share), ("interval", 1 - share)) if part
    }


# ------------------------------------------------------------------------------------ adversarial


@pytest.mark.parametrize("name", ["conv1", "cnn7_bn"])
def test_adversarial_images_lie_in_the_box_and_cost_between_clean_and_certified(name) -> None:
    net = net_of(name, channels=2)
    view, adversarial = view_of(net), term("adversarial_cross_entropy", steps=5)
    found_BCHW = adversarial.attacked(view)
    lower_BCHW, upper_BCHW = view.reach.box
    assert (lower_BCHW <= found_BCHW).all() and (found_BCHW <= upper_BCHW).all()
    clean, certified = (term(n)(view, {}).item() for n in ("cross_entropy", "robust_cross_entropy"))
    loss = adversarial(view, {})
    assert clean < loss.item() <= certified
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", ["cnn7_bn", "linf_dist_mlp3"])
def test_an_attack_moves_no_statistics_and_no_mode(name) -> None:
    net = net_of(name, **({"channels": 2} if name == "cnn7_bn" else {}))
    once = copy.deepcopy(net)
    once(images()[0])
    view = view_of(net)
    term("adversarial_cross_entropy", steps=3)(view, {}).backward()
    term("cross_entropy")(view, {})
    assert all(layer.training for layer in net.modules())
    for key, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, once.state_dict()[key], msg=key)


def test_at_eps_zero_adversarial_images_are_the_clean_ones() -> None:
    view = view_of(net_of("conv1", channels=2), 0.0)
    assert torch.equal(term("adversarial_cross_entropy").attacked(view), view.x_BCHW)


# ------------------------------------------------------------------------------ what terms share


class Constant(Term):
    """A term that is a number, and counts how often it is asked for."""

    value: float
    asked: list[int] = []  # noqa: RUF012

    def __call__(self, view, knobs):
        self.asked.append(1)
        return view.x_BCHW.new_tensor(self.value)


def constants(*values: float, **settings) -> Sequence[Constant]:
    return [Constant(name="constant", value=v, asked=[], **settings) for v in values]


def test_a_mix_at_its_ends_is_one_part_and_does_not_ask_for_the_other() -> None:
    view = view_of(net_of("conv1", channels=2), None)
    for share, asked in ((0.0, [0, 1]), (1.0, [1, 0]), (0.25, [1, 1])):
        parts = constants(3.0, 5.0)
        mixed = terms["mix"](name="mix", by="kappa", of=parts)
        assert mixed(view, {"kappa": share}).item() == 3 * share + 5 * (1 - share)
        assert [len(part.asked) for part in mixed.of] == asked
    assert terms["mix"](name="mix", by=0.5, of=parts)(view, {}).item() == 4
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(UsageError, match=r"term mix: kappa must lie in \[0, 1\]"):
            mixed(view, {"kappa": bad})


def test_weights_are_factors_and_a_term_of_weight_zero_is_not_computed() -> None:
    view = view_of(net_of("conv1", channels=2), None)
    fixed, free, off = (
        *constants(3.0, weight=2),
        *constants(5.0, weight="a"),
        *constants(1.0, weight=0),
    )
    parts = [(1.0, fixed), (1.0, free), (1.0, off)]
    assert total(parts, view, {"a": 0.5}, "it").item() == 8.5
    assert not off.asked
    with pytest.raises(UsageError, match="it: all terms have weight 0 at this step"):
        total([(1.0, off), (0.0, fixed)], view, {}, "it")


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """One entry for each interval pass."""
    made: list[int] = []
    whole = zoo.propagation.reach.interval_ends

    def counting(*args):
        made.append(1)
        return whole(*args)

    monkeypatch.setattr(zoo.propagation.reach, "interval_ends", counting)
    return made


def test_all_terms_share_one_clean_and_one_interval_pass(passes) -> None:
    net = net_of("cnn7_bn", channels=2)
    view = view_of(net)
    torch.stack([term(name)(view, {}) for name in terms if name != "mix"]).sum().backward()
    assert len(passes) == 1 and net.layers.norm1.num_batches_tracked == 1
    assert view.at(0.05) is view and view.at(0.01) is view.at(0.01)
    assert view.at(0.01).steps is view.steps
    assert view.at(0.01).logits_BK is view.logits_BK and view.at(0.01).reach is not view.reach


def test_without_a_box_nothing_is_taken_apart(passes) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES), nn.Softplus())  # no rules
    loss = term("cross_entropy")(view := view_of(net, None), {})
    torch.testing.assert_close(loss, F.cross_entropy(net(view.x_BCHW), view.y_B))
    assert not term("cross_entropy").knobs and not passes


@pytest.mark.parametrize("name", ["conv1", "cnn7_bn"])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_logits_to_count_by_have_a_graph_only_where_it_is_needed(name, kappa, passes) -> None:
    net = net_of(name, channels=2)
    objective = objectives["robust_cross_entropy"](name="robust_cross_entropy")
    assert objective.knobs == {"eps", "kappa"}
    result = objective(net, *images(), {"eps": 0.05, "kappa": kappa}, {})
    assert result.logits_BK.requires_grad == (kappa < 1 or name == "cnn7_bn")
    assert len(passes) == (kappa > 0)
    if name == "cnn7_bn":
        assert net.layers.norm1.num_batches_tracked == 1


def test_the_objective_of_that_name_is_a_sum_of_the_same_terms() -> None:
    knobs = {"eps": 0.05, "kappa": 0.3}
    parts = [{"name": "robust_cross_entropy", "bound": "cap"}, {"name": "cross_entropy"}]
    listed = {"name": "sum", "terms": [{"name": "mix", "by": "kappa", "of": parts}]}
    short = {"name": "robust_cross_entropy", "bound": "cap"}
    found = []
    for spec in (listed, short):
        objective = objectives[spec["name"]].model_validate(spec)
        found.append(objective(net_of("conv1", channels=2), *images(), knobs, {}).loss)
    assert torch.equal(*found)


def test_bounds_that_go_along_no_steps_train_nothing() -> None:
    with pytest.raises(UsageError, match="lipschitz has no margins in train mode"):
        view_of(net_of("conv1", channels=2)).margins_BK("lipschitz")


def test_naive_ends_are_those_of_the_box_but_for_rounding() -> None:
    x_BCHW, _ = images()
    x_BCHW[0, 0, 0] = torch.tensor([0.0, 1.0, 0.5, 1e-3, 0.999, 0.1, 0.9, 0.3])
    for eps in (0.0, 1e-3, 8 / 255, 1.0):
        around = box(x_BCHW, eps)
        for found, wanted in zip(
            naive_ends(x_BCHW, eps), (around.lower_BCHW, around.upper_BCHW), strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=0, atol=2e-7)
    for eps in (-0.1, 1.5, math.nan):
        with pytest.raises(UsageError, match=r"outside \[0, 1\]"):
            naive_ends(x_BCHW, eps)
