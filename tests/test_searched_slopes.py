"""Slopes that are searched for: what a search promises, and the triangle against its own program.

Shapes: B batch, S rows, K classes, H hidden units.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from soundness.nets import random_images, random_net
from torch import Tensor, nn

from zoo.bounds import bounds
from zoo.boxes import Box, box
from zoo.certification import certify
from zoo.errors import UsageError
from zoo.layers import Residual
from zoo.margins import margins_of
from zoo.propagation import interval_ends, lower_bounds, margins_by_rows, steps_of
from zoo.propagation.slopes import Alphas, lower_slopes, one_sign_step, relu_inputs
from zoo.propagation.triangle import triangle_slopes

SEARCHED = ["smooth_tight", "alpha_crown_ibp", "alpha_crown", "triangle"]


def conv_net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 9), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(9, 4)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3)  # as sharp as a trained net
    return net


def images(seed: int, eps: float = 0.1) -> tuple[Box, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x_BCHW = torch.rand(3, 1, 4, 4, generator=g)
    return box(x_BCHW, eps), torch.randint(0, 4, (3,), generator=g)


@pytest.mark.parametrize("name", SEARCHED)
def test_no_point_of_the_box_is_below_the_bound(name):
    for seed in range(5):
        net, (around, y_B) = conv_net(seed), images(seed, 0.05 + 0.1 * seed)
        lower_BK = bounds[name]()(net, around, y_B)
        width = around.upper_BCHW - around.lower_BCHW
        with torch.no_grad():
            for share in (torch.rand(200, 3, 1, 4, 4), torch.rand(200, 3, 1, 4, 4).round()):
                for x_BCHW in around.lower_BCHW + share * width:
                    assert (margins_of(net(x_BCHW), y_B) >= lower_BK - 1e-5).all()


def test_an_optimised_row_is_never_below_its_start():
    for seed in range(10):
        net, (around, y_B) = conv_net(seed), images(seed)
        for tight in ("", "_ibp"):
            found = bounds[f"alpha_crown{tight}"]()(net, around, y_B)
            assert (found >= bounds[f"crown{tight}"]()(net, around, y_B)).all()


def test_the_triangle_is_the_best_of_all_bounds_over_the_same_ends():
    for seed in range(10):
        net, (around, y_B) = conv_net(seed).double(), images(seed)
        wide = box(around.x_BCHW.double(), "1/10")
        triangle = bounds["triangle"]()(net, wide, y_B)
        for name in ("crown_ibp", "cap_ibp", "smooth_tight", "alpha_crown_ibp", "interval"):
            assert (triangle >= bounds[name]()(net, wide, y_B) - 1e-7).all(), name


@pytest.mark.parametrize("kind", ["residual", "pooled", "head", "distconv", "parts"])
def test_the_triangle_is_the_best_through_sums_maxima_and_distances_too(kind):
    for seed in range(3):
        net, x_BCHW = random_net(kind, seed).double(), random_images(seed, 3).double()
        y_B, around = torch.arange(3), box(x_BCHW, ("1/50", "1/10", "3/10")[seed])
        triangle = bounds["triangle"]()(net, around, y_B)
        for name in ("crown_ibp", "crown_ibp_zero", "cap_ibp", "alpha_crown_ibp", "interval"):
            assert (triangle >= bounds[name]()(net, around, y_B) - 1e-7).all(), name


def test_the_triangle_of_a_residual_is_that_of_the_same_net_in_a_row():
    """Beside the body, x goes on through ReLUs that are always active: x = max(x + 9, 0) - 9."""
    for seed in range(5):
        torch.manual_seed(seed)
        first, second, last = nn.Linear(16, 8), nn.Linear(8, 16), nn.Linear(16, 4)
        body = nn.Sequential(first, nn.ReLU(), second)
        branched = nn.Sequential(nn.Flatten(), Residual(body), nn.ReLU(), last).double()
        one, nine = torch.eye(16).double(), torch.full((16,), 9.0).double()
        wide, back = nn.Linear(16, 24).double(), nn.Linear(24, 16).double()
        with torch.no_grad():
            wide.weight.copy_(torch.cat([first.weight, one]))
            wide.bias.copy_(torch.cat([first.bias, nine]))
            back.weight.copy_(torch.cat([second.weight, one], 1))
            back.bias.copy_(second.bias - nine)
        row = nn.Sequential(nn.Flatten(), wide, nn.ReLU(), back, nn.ReLU(), last)
        around, y_B = images(seed)
        around = box(around.x_BCHW.double(), "1/10")
        # Intervals see that x is one in the row alone, if at all: both stand on the same ends.
        rows_BSK = margins_by_rows(y_B, 4, torch.float64)
        ends = around.lower_BCHW, around.upper_BCHW
        found = []
        for net, at_sum in ((branched, 6), (row, 4)):
            steps, _ = steps_of(net)
            given = interval_ends(steps, ends)
            given[at_sum] = torch.full_like(given[at_sum][0], -9), 9 + 0 * given[at_sum][0]
            source = triangle_slopes(steps, given, rows_BSK)
            found.append(lower_bounds(steps, given, rows_BSK, len(steps), source))
        torch.testing.assert_close(*found)


def test_a_layer_that_no_line_encloses_has_no_triangle():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.Tanh())
    with pytest.raises(UsageError, match="no pull rule for layer Tanh"):
        bounds["triangle"]()(net, *images(0))


def least_over_triangles(net: nn.Sequential, ends: list, row_K: np.ndarray) -> float:
    """The linear program of Linear, ReLU, Linear written down: unknowns x, y, and z = W x + b."""
    w_HI, b_H = (t.detach().numpy() for t in net[1].parameters())
    v_KH, c_K = (t.detach().numpy() for t in net[3].parameters())
    low_H, high_H = (end[0].detach().numpy() for end in ends[2])
    num_in, num_hidden = w_HI.shape[1], len(b_H)
    above, right, limits = [], [], list(zip(*(end[0].flatten() for end in ends[0]), strict=True))
    for h in range(num_hidden):
        if low_H[h] < 0 < high_H[h]:
            slope = high_H[h] / (high_H[h] - low_H[h])
            sides = [(1, -1, 0), (0, -1, 0), (-slope, 1, -slope * low_H[h])]
        else:
            stays = float(low_H[h] >= 0)
            sides = [(stays, -1, 0), (-stays, 1, 0)]
        for of_z, of_y, at_most in sides:
            unknowns = np.zeros(num_in + num_hidden)
            unknowns[:num_in], unknowns[num_in + h] = of_z * w_HI[h], of_y
            above.append(unknowns)
            right.append(at_most - of_z * b_H[h])
        limits.append((None, None))
    cost = np.concatenate([np.zeros(num_in), row_K @ v_KH])
    found = linprog(cost, A_ub=np.array(above), b_ub=np.array(right), bounds=limits)
    return found.fun + row_K @ c_K


def test_the_triangle_bound_is_the_optimum_of_its_linear_program():
    for seed in range(10):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).double()
        around, y_B = images(seed)
        around = box(around.x_BCHW[:1].double(), "1/5")
        y_B = y_B[:1]
        found_K = bounds["triangle"]()(net, around, y_B)[0]
        steps, _ = steps_of(net)
        ends = interval_ends(steps, (around.lower_BCHW, around.upper_BCHW))
        rows_SK = margins_by_rows(y_B, 4, torch.float64)[0].numpy()
        others = [k for k in range(4) if k != y_B]
        for k, row_K in zip(others, rows_SK, strict=True):
            optimum = least_over_triangles(net, ends, row_K)
            assert found_K[k].item() == pytest.approx(optimum, abs=1e-7)


def test_the_sign_step_ends_at_0_or_1_and_lowers_the_loss():
    before = after = 0.0
    for seed in range(10):
        net, (around, y_B) = conv_net(seed), images(seed)
        steps, _ = steps_of(net)
        ends = interval_ends(steps, (around.lower_BCHW, around.upper_BCHW))
        rows_BSK = margins_by_rows(y_B, 4, torch.float32)

        def loss(alphas: Alphas) -> Tensor:
            return -lower_bounds(steps, ends, rows_BSK, len(steps), lower_slopes(alphas)).sum()  # noqa: B023

        start = {i: torch.rand_like(lower) for i, (lower, _) in relu_inputs(steps, ends).items()}
        found = one_sign_step(loss, start)
        for i, (lower, upper) in relu_inputs(steps, ends).items():
            moved = (found[i] != start[i]) & (lower < 0) & (upper > 0)
            assert moved.any() and set(found[i][moved].tolist()) <= {0.0, 1.0}
        before += loss(start).item()
        after += loss(found).item()
    assert after < before


def test_the_slopes_of_a_certificate_do_not_change_from_call_to_call():
    net, (around, y_B) = conv_net(0), images(0, 0.4)
    bound = bounds["smooth_tight"]()
    assert torch.equal(bound(net, around, y_B), bound(net, around, y_B))
    net.train()  # where they start at random
    first = bound(net, around, y_B)
    assert not all(torch.equal(first, bound(net, around, y_B)) for _ in range(10))


def test_certificates_by_searched_slopes_hold_rounding_too():
    net, (around, _) = conv_net(1), images(1)
    x_BCHW = around.x_BCHW
    y_B = net(x_BCHW).argmax(1)
    for name in SEARCHED:
        small, large = (certify(net, x_BCHW, y_B, eps, bound=name) for eps in ("1/1000", "1/2"))
        assert small.certified_B.all() and not large.certified_B.all()
        assert (small.slack_B > 0).all() and (small.slack_B < 1e-4).all()


def test_a_net_too_large_for_a_linear_program_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 30_000), nn.ReLU(), nn.Linear(30_000, 2)).eval()
    around, _ = images(0)
    with pytest.raises(UsageError, match="small nets"):
        bounds["triangle"]()(net, around, torch.tensor([0, 1, 0]))
