"""Numbers that a program meets on its way and its results do not show: sums, later divided."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from zoo.certification import certify
from zoo.layers import HalfSum
from zoo.margins import margins_of, worst

EPS = 0.15


def hunt() -> Iterator[str]:
    """No certificate of a program that overflows in the ball."""
    for what, first, layers, x in (
        ("an average", 3e38, [nn.AvgPool2d(2)], 0.2),
        ("an average by parts", 3e38, [nn.AdaptiveAvgPool2d(1)], 0.2),
        ("halves of sums", 3e38, [HalfSum(2), HalfSum(3)], 0.5),
    ):
        net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), *layers, nn.Flatten(), nn.Linear(1, 2))
        with torch.no_grad():
            net[0].weight.fill_(first)
            net[-1].weight.copy_(torch.tensor([[0.0], [1e-38]]))
            net[-1].bias.copy_(torch.tensor([9.0, 0.0]))
        net.eval()
        x_BCHW, y_B = torch.full((1, 1, 2, 2), x), torch.tensor([0])
        with torch.no_grad():
            largest_B = worst(margins_of(net(x_BCHW + EPS), y_B), y_B)
        if largest_B.isfinite().all():
            yield f"{what}: it was to overflow"
        for bound in ("interval", "crown_ibp", "deepz", "best"):
            # By intervals halves are added in the program's dtype, and infinity proves nothing.
            if bool(certify(net, x_BCHW, y_B, EPS, bound=bound).deployed_B.any()):
                yield f"{what}, {bound}: B of a program that overflows"
