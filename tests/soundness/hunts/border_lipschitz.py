"""The Lipschitz bound at its own border, both notions, every kind of net that it takes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from soundness.border import borders
from soundness.nets import KINDS, SIDE, predictions, random_images, random_net
from zoo.models import LinfDistMLP

IMAGES = 12
# Nets of one layer whose roundings at the centre and at a corner go against each other.
ADVERSE = (479, 988)


@torch.no_grad()
def one_layer(seed: int) -> nn.Module:
    """Two classes on either side of all pixels: the worst corner is worth exactly 2 eps."""
    torch.manual_seed(seed)
    net = LinfDistMLP(1, num_classes=2, in_chans=1, img_size=SIDE, folded=True).eval()
    net.layers.dist1.weight.copy_(torch.tensor([[-0.6], [1.6]]) + 0.2 * torch.rand(2, 4))
    net.layers.dist1.bias.normal_(0.0, 0.5)
    return net


def cases() -> Iterator[tuple[str, nn.Module, Tensor]]:
    for kind in KINDS["lipschitz"]:
        for seed in range(2):
            yield f"{kind} {seed}", random_net(kind, seed), random_images(seed, IMAGES)
    for seed in ADVERSE:
        yield f"one layer {seed}", one_layer(seed), random_images(seed, 64)


def hunt() -> Iterator[str]:
    for name, net, x_BCHW in cases():
        for border in borders("lipschitz", net, x_BCHW, predictions(net, x_BCHW), clip=False):
            if broken := border.broken():
                yield f"{name}, {border.notion}: {broken} of {len(border)} balls hold another class"
