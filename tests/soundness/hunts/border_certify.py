"""Certificates as users get them, at the border of A and B together: the whole way, no shortcut."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from soundness.border import function_breaks, program_breaks
from soundness.nets import predictions, random_images, random_net
from zoo.certification import Certifier

CASES = [
    ("lipschitz", "normalized", 16, False),
    ("lipschitz", "folded", 8, False),
    ("interval", "folded", 2, True),
    ("interval", "relu", 2, False),
]
STEPS = 20


def border(certifier: Certifier, x_BCHW: Tensor, y_B: Tensor, *, clip: bool) -> list[Fraction]:
    """The largest eps that each image is certified at, to 2**-STEPS; 0 where there is none."""
    low, high = [Fraction(0)] * len(y_B), [Fraction(1)] * len(y_B)
    for _ in range(STEPS):
        middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        found = certifier(x_BCHW, y_B, middle, clip=clip)
        for i, certificate in enumerate(found):
            (low if bool(certificate.certified_B[i]) else high)[i] = middle[i]
    return low


def hunt() -> Iterator[str]:
    for seed, (name, kind, images, clip) in enumerate(CASES):
        net, x_BCHW = random_net(kind, seed), random_images(seed, images)
        y_B = predictions(net, x_BCHW)
        eps_B = border(Certifier(net, name), x_BCHW, y_B, clip=clip)
        at = [i for i, eps in enumerate(eps_B) if eps > 0]
        some = x_BCHW[at], y_B[torch.tensor(at, dtype=torch.long)], [eps_B[i] for i in at]
        for notion, breaks in (("A", function_breaks), ("B", program_breaks)):
            if at and breaks(net, *some, clip=clip).any():
                yield f"{name}, {kind}: a certified ball holds another class ({notion})"
