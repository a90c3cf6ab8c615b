"""Crops: parts of an image, and nets that see several of them.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import pytest
import torch

from tests import oracles
from zoo.data.augment import Augment
from zoo.errors import UsageError
from zoo.layers import CenterCrop, Crops, Join
from zoo.models import LinfDistHybrid, SortNetCrops, SortNetHybrid, fold, unfold

IMAGES = torch.rand(3, 2, 7, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layer", [CenterCrop(3), CenterCrop(4), Crops(4, 3), Crops(3, 2)])
def test_crops_are_the_pixels_in_their_place(layer):
    wanted = oracles.cropped(layer, IMAGES.numpy())
    assert torch.equal(layer(IMAGES), torch.from_numpy(wanted))


def test_joined_features_are_those_of_one_image():
    rows = Crops(3, 4)(IMAGES)
    assert rows.shape == (12, 18)
    assert torch.equal(Join(4)(rows), torch.from_numpy(oracles.cropped(Join(4), rows.numpy())))
    assert torch.equal(Join(4)(rows)[1], rows[4:8].flatten())


def test_a_central_crop_behind_a_padded_one_is_a_random_crop_of_the_image():
    """So pad: 4 moves a net that sees 56 x 56 pixels over all 64 x 64, and no edge is repeated."""
    draws = {"seed": 0, "epoch": 0, "n": 200}
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    moved = Augment(pad=2)(image.expand(200, 1, 8, 8), torch.arange(200), **draws)
    seen = {tuple(x.flatten().tolist()) for x in CenterCrop(4)(moved)}
    everywhere = {tuple(x.tolist()) for x in Crops(4, 1)(image)}
    assert seen == everywhere and len(everywhere) == 25


def random_net(kind, **sizes):
    torch.manual_seed(0)
    net = kind(3, width=6, head_width=5, num_classes=4, mean=(0.1, 0.5, 0.8), std=0.25, **sizes)
    net.train()
    for _ in range(3):
        net(torch.rand(40, *net.input_shape))  # running means
    return net.eval()


CASES = [
    (SortNetCrops, {"img_size": 7}),
    (SortNetHybrid, {"img_size": 5, "identity": True}),
    (LinfDistHybrid, {"img_size": 7, "crop": 5}),
]


@pytest.mark.parametrize("kind, sizes", CASES)
def test_folding_keeps_the_logits_and_unfolding_gives_the_net_back(kind, sizes):
    net = random_net(kind, **sizes)
    x = torch.rand(10, *net.input_shape)
    folded = fold(net)
    again = unfold(folded, net.mean, net.std).eval()
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again(x), net(x), rtol=1e-4, atol=1e-5)


def test_four_crops_share_their_distance_layers():
    net = fold(random_net(SortNetCrops, img_size=7))
    x = torch.rand(2, 3, 7, 7)
    corners = [x[:, :, i : i + 3, j : j + 3].flatten(1) for i in (0, 4) for j in (0, 4)]
    with torch.no_grad():
        body = net.layers[1:-2]  # between the crops and what joins them
        alone = torch.cat([body(corner) for corner in corners], 1)
        assert torch.equal(net.features(x), alone)
        assert torch.equal(net(x), net.head(alone))


@pytest.mark.parametrize(
    "kind, sizes", [(SortNetCrops, {"img_size": 4}), (LinfDistHybrid, {"img_size": 4, "crop": 5})]
)
def test_images_without_room_for_a_crop_are_refused(kind, sizes):
    with pytest.raises(UsageError, match=r"have no such crops|larger than the image"):
        kind(3, width=4, **sizes)
