"""Bounds against the exact optimum of a mixed-integer program (S4): never above it.

Shapes: I in features, O out features, K classes.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn

from soundness.nets import RELAXED, RELAXED_ALIKE
from zoo.bounds import bounds, create_bound
from zoo.boxes import box
from zoo.margins import margins_of

pytestmark = pytest.mark.usefixtures("one_thread")
STEPWISE = sorted(RELAXED | RELAXED_ALIKE)
WIDTHS = {"8-8": (8, 8), "16-16": (16, 16)}


def relu_net(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in zip((4, *widths), widths, strict=False):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 3)).double().eval()


def smallest_margin(
    net: nn.Sequential, lower_I: np.ndarray, upper_I: np.ndarray, y: int, k: int
) -> tuple[float, np.ndarray]:
    """min f_y - f_k over the box, and where: one binary variable for each ReLU that may switch.

    h = relu(a) for a in [l, u], l < 0 < u:  h >= 0, h >= a, h <= a - l (1 - d), h <= u d.
    """
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    rows, low_rows, high_rows = [], [], []
    ends = [*zip(lower_I, upper_I, strict=True)]
    inputs, integrality = list(range(4)), [0] * 4

    def constrain(terms: dict[int, float], low: float, high: float) -> None:
        rows.append(terms)
        low_rows.append(low)
        high_rows.append(high)

    def variable(low: float, high: float, whole: int = 0) -> int:
        ends.append((low, high))
        integrality.append(whole)
        return len(ends) - 1

    low_I, high_I = lower_I, upper_I
    for layer in linear[:-1]:
        w_OI, b_O = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        mid, half = w_OI @ (low_I + high_I) / 2 + b_O, np.abs(w_OI) @ (high_I - low_I) / 2
        outputs = []
        for w_I, b, low, high in zip(w_OI, b_O, mid - half, mid + half, strict=True):
            a, h = variable(low, high), variable(max(low, 0), max(high, 0))
            constrain({a: 1.0} | {i: -w for i, w in zip(inputs, w_I, strict=True)}, b, b)
            if low < 0 < high:
                d = variable(0, 1, 1)
                constrain({h: 1, a: -1}, 0, np.inf)
                constrain({h: 1, a: -1, d: -low}, -np.inf, -low)
                constrain({h: 1, d: -high}, -np.inf, 0)
            elif low >= 0:
                constrain({h: 1, a: -1}, 0, 0)
            outputs.append(h)
        inputs = outputs
        low_I, high_I = np.maximum(mid - half, 0), np.maximum(mid + half, 0)
    last_w, last_b = linear[-1].weight.detach().numpy(), linear[-1].bias.detach().numpy()
    cost = np.zeros(len(ends))
    cost[inputs] = last_w[y] - last_w[k]
    matrix = np.zeros((len(rows), len(ends)))
    for row, terms in zip(matrix, rows, strict=True):
        row[list(terms)] = list(terms.values())
    found = milp(
        cost,
        constraints=LinearConstraint(matrix, low_rows, high_rows),
        bounds=Bounds(*np.array(ends).T),
        integrality=integrality,
        options={"mip_rel_gap": 0},
    )
    assert found.success, found.message
    return found.fun + last_b[y] - last_b[k], found.x[:4]


def asked(seed: int) -> set[str]:
    """Intervals, and three of the others in turn."""
    return {"interval"} | {STEPWISE[(3 * seed + i) % len(STEPWISE)] for i in range(3)}


@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
def test_no_bound_is_above_the_optimum(widths, times, tally) -> None:
    line = tally(f"mixed-integer programs, {'-'.join(map(str, widths))}", "above the optimum")
    closest = np.inf
    few, many = (60, 2500) if widths[0] == 8 else (12, 400)
    for seed in range(times(many, few)):
        net = relu_net(widths, seed)
        g = torch.Generator().manual_seed(seed)
        x_BCHW = torch.rand(1, 1, 2, 2, generator=g, dtype=torch.float64)
        within = box(x_BCHW, Fraction(1 + seed % 20, 100))
        with torch.no_grad():
            y_B = net(x_BCHW).argmax(1)
            y = int(y_B)
            narrow = box(x_BCHW.float(), within.eps)
            margins = {name: create_bound(name).real(net, within, y_B)[0] for name in asked(seed)}
            margins["deployed"] = bounds["interval"]().deployed(net.float(), narrow, y_B)[0]
        net.double()
        lower_I, upper_I = (e.flatten().numpy() for e in (within.lower_BCHW, within.upper_BCHW))
        for k in {0, 1, 2} - {y}:
            optimum, at_I = smallest_margin(net, lower_I, upper_I, y, k)
            # the program is about this net: its optimum is what the net gives there
            point = torch.from_numpy(np.clip(at_I, lower_I, upper_I)).reshape(1, 1, 2, 2)
            with torch.no_grad():
                there = margins_of(net(point), y_B)[0, k].item()
            assert abs(there - optimum) < 1e-6
            for margins_K in margins.values():
                line["above the optimum"] += int(margins_K[k].item() > optimum + 1e-6)
                line["bounds"] += 1
                closest = min(closest, optimum - margins_K[k].item())
    assert line["above the optimum"] == 0
    assert closest < 0.05  # some bound is nearly tight: the comparison can fail
