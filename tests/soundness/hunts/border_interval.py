"""The interval bound at its own border, both notions, nets of all rules."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.border import borders
from soundness.nets import predictions, random_images, random_net

IMAGES = 6
KINDS = ("relu", "distconv", "head", "conv", "hybrid")


def hunt() -> Iterator[str]:
    for seed, kind in enumerate(KINDS):
        net, x_BCHW = random_net(kind, seed), random_images(seed, IMAGES)
        y_B, clip = predictions(net, x_BCHW), seed % 2 == 0
        for border in borders("interval", net, x_BCHW, y_B, clip=clip):
            if broken := border.broken():
                yield f"{kind}, {border.notion}: {broken} of {len(border)} balls hold another class"
