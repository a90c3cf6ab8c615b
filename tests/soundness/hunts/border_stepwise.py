"""Linear bounds, zonotopes and the best of several at their own borders, both notions."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.border import borders
from soundness.nets import predictions, random_images, random_net

IMAGES = 4
CASES = (("crown_ibp", "relu"), ("deepz", "relu"), ("hbox", "relu"))


def hunt() -> Iterator[str]:
    for seed, (name, kind) in enumerate(CASES):
        net, x_BCHW = random_net(kind, seed), random_images(seed, IMAGES)
        y_B, clip = predictions(net, x_BCHW), seed % 2 == 0
        for border in borders(name, net, x_BCHW, y_B, clip=clip):
            if broken := border.broken():
                yield (
                    f"{name}, {kind}, {border.notion}: "
                    f"{broken} of {len(border)} balls hold another class"
                )
