"""Every relaxation, in every scheme, through every kind of layer, at points of its boxes.

Shapes: B boxes, P points of each, S rows (linear forms), K logits, H hidden neurons.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from soundness.nets import CLASSES, SIDE, random_images, random_net
from zoo.bounds.stepwise import by_relaxation
from zoo.propagation import interval_ends, lower_bounds, steps_of, zonotope_bounds
from zoo.relaxations import relaxations
from zoo.rounding import REAL, BoxPart, NewSymbols

pytestmark = pytest.mark.usefixtures("one_thread")
BOXES, POINTS, ROWS = 6, 40, 6
LAYERS = (
    *("relu", "conv", "batch_normed", "pooled", "parts"),
    *("residual", "head", "distconv", "pruned", "sorted", "group_sorted", "stem", "edges"),
)


def edges(seed: int) -> nn.Module:
    """ReLUs of one pixel each, whose inputs end at 0, around it, beside it and nowhere.

    For boxes of radius 1/8 about a middle image they are [0, 2r], [-2r, 0], [-r, r], [r, 3r],
    [-3r, -r] and the points 0, r and -r, exactly: all numbers are multiples of 1/64. So each form
    of the logits comes as near to its bound, at a corner, as its lines do to the ReLUs.
    """
    g = torch.Generator().manual_seed(seed)
    pixels = SIDE * SIDE
    scale_H = torch.randint(1, 9, (pixels,), generator=g) / 8
    scale_H = scale_H * torch.randint(0, 2, (pixels,), generator=g).mul(2).sub(1)
    place_H = torch.tensor([1.0, -1.0, 0.0, 2.0, -2.0])[torch.randint(0, 5, (pixels,), generator=g)]
    still_H = torch.rand(pixels, generator=g) < 0.2  # moves with no pixel
    first = nn.Linear(pixels, pixels)
    with torch.no_grad():
        first.weight.copy_(scale_H.masked_fill(still_H, 0).diag())
        first.bias.copy_(place_H * scale_H.abs() / 8 - first.weight @ middle().flatten())
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(pixels, CLASSES)).eval()


def middle() -> Tensor:
    """The image that the ends above are meant about."""
    return torch.full((1, 1, SIDE, SIDE), 0.5)


def case(kind: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A net in float64, and ends of boxes: some of no width, some in part."""
    if kind == "edges":
        x_BCHW, radius_BCHW = middle().expand(BOXES, -1, -1, -1), torch.full((1, 1, 1, 1), 0.125)
        return edges(seed).double(), (x_BCHW - radius_BCHW).double(), (x_BCHW + 0.125).double()
    g = torch.Generator().manual_seed(seed)
    x_BCHW = random_images(seed, BOXES).double()
    radius_BCHW = torch.rand(x_BCHW.shape, generator=g, dtype=torch.float64)
    radius_BCHW = radius_BCHW * torch.logspace(-3, 0, BOXES).view(-1, 1, 1, 1)
    radius_BCHW[torch.rand(x_BCHW.shape, generator=g) < 0.2] = 0
    return random_net(kind, seed).double(), x_BCHW - radius_BCHW, x_BCHW + radius_BCHW


def points_of(lower_BCHW: Tensor, upper_BCHW: Tensor, seed: int) -> Tensor:
    """Points (P, B, C, H, W): all corners, and others of which some coordinates are at an end."""
    g = torch.Generator().manual_seed(seed)
    corners = torch.tensor([*itertools.product((0.0, 1.0), repeat=SIDE * SIDE)])
    corners = corners.view(-1, 1, 1, SIDE, SIDE).expand(-1, BOXES, -1, -1, -1)
    inner = torch.rand(POINTS - len(corners), *lower_BCHW.shape, generator=g) * 1.5 - 0.25
    share = torch.cat([corners, inner.clamp(0, 1)]).double()
    return lower_BCHW + share * (upper_BCHW - lower_BCHW)


@pytest.mark.parametrize("kind", LAYERS)
@torch.no_grad()
def test_no_form_of_the_logits_is_below_its_bound(kind, times, tally) -> None:
    line = tally(f"fuzz, {kind}", "broken")
    for seed in range(times(200, 2)):
        net, lower_BCHW, upper_BCHW = case(kind, seed)
        box, steps = (lower_BCHW, upper_BCHW), steps_of(net)[0]
        ends = interval_ends(steps, box, REAL)
        rows_BSK = torch.randn(BOXES, ROWS, CLASSES, dtype=torch.float64)
        value_PBK = torch.stack([net(x) for x in points_of(*box, seed)])
        value_PBS = torch.einsum("pbk,bsk->pbs", value_PBK, rows_BSK)
        slack_PBS = 1e-12 * torch.einsum("pbk,bsk->pbs", value_PBK.abs(), rows_BSK.abs())
        for name in relaxations:
            relaxation = relaxations[name]()
            source = by_relaxation(relaxation)
            found = [lower_bounds(steps, ends, rows_BSK, len(steps), source, rigorous=True)]
            if relaxation.parallel:
                found += [
                    zonotope_bounds(steps, box, rows_BSK, source, rest, around, rigorous=True)
                    for rest in (NewSymbols, BoxPart)
                    for around in (None, ends)
                ]
            for bound_BS in found:
                assert not bound_BS.isnan().any()
                line["broken"] += int((value_PBS + slack_PBS < bound_BS).sum())
                line["checks"] += value_PBS.numel()
        assert line["broken"] == 0
