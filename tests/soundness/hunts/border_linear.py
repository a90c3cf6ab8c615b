"""Linear bounds at their own borders, both notions, nets of rules of their own."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.border import borders
from soundness.nets import predictions, random_images, random_net

IMAGES = 6
CASES = (("crown_ibp", "residual"), ("cap", "pooled"))


def hunt() -> Iterator[str]:
    for seed, (name, kind) in enumerate(CASES):
        net, x_BCHW = random_net(kind, seed), random_images(seed, IMAGES)
        y_B, clip = predictions(net, x_BCHW), seed % 2 == 0
        for border in borders(name, net, x_BCHW, y_B, clip=clip):
            if broken := border.broken():
                what = f"{name}, {kind}, {border.notion}"
                yield f"{what}: {broken} of {len(border)} balls hold another class"
