"""Stems: features against loops, gains of 1, folding, pruning, certificates.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.certification import certify
from zoo.errors import UsageError
from zoo.layers import MeanShift
from zoo.models import LinfDistMLP, fold, prune, unfold
from zoo.models.stem import stem
from zoo.rules import Rounded, describe, forward_error
from zoo.rules.describe import kinds

ALL = ["raw", "mean2", "mean4", "difference1", "difference2", "max2", "min4", "luma1", "opponent2"]


@torch.no_grad()
def random_net(**more) -> LinfDistMLP:
    torch.manual_seed(0)
    sizes = {"width": 12, "num_classes": 4, "img_size": 4, "mean": (0.1, 0.5, 0.8), "std": 0.25}
    net = LinfDistMLP(3, **sizes | more)
    for layer in net.modules():
        if isinstance(layer, MeanShift):
            layer.running_mean_O.normal_(3, 1)
    return net.eval()


def squares(x_BCHW: np.ndarray, size: int) -> np.ndarray:
    """Pixels of each square, last."""
    b, c, h, w = x_BCHW.shape
    x = x_BCHW.reshape(b, c, h // size, size, w // size, size).transpose(0, 1, 2, 4, 3, 5)
    return x.reshape(b, c, h // size, w // size, -1)


def test_features_are_what_they_are_called():
    x_BCHW = torch.rand(3, 3, 4, 4, dtype=torch.float64)
    x = x_BCHW.numpy()
    mean2 = squares(x, 2).mean(-1)
    red, green, blue = x.transpose(1, 0, 2, 3)
    r, g, b = mean2.transpose(1, 0, 2, 3)
    wanted = {
        "raw": [x],
        "mean2": [mean2],
        "mean4": [squares(x, 4).mean(-1)],
        "difference1": [np.diff(x, axis=2) / 2, np.diff(x, axis=3) / 2],
        "difference2": [np.diff(mean2, axis=2) / 2, np.diff(mean2, axis=3) / 2],
        "max2": [squares(x, 2).max(-1)],
        "min4": [squares(x, 4).min(-1)],
        "luma1": [((red + blue) / 2 + green) / 2],
        "opponent2": [(r - g) / 2, ((r + g) / 2 - b) / 2],
    }
    for name in ALL:
        flat = np.concatenate([part.reshape(3, -1) for part in wanted[name]], 1)
        np.testing.assert_allclose(stem([name], 3)(x_BCHW).numpy(), flat, atol=1e-15)
    assert stem(ALL, 3)(x_BCHW).shape[1] == random_net(stem=ALL).layers.dist1.weight.shape[1]


def test_every_feature_has_the_gain_one_and_attains_it():
    x = torch.rand(1, 3, 4, 4)
    for name in ALL:
        features = stem([name], 3)
        found = forward_error(features, Rounded(x, torch.zeros((), dtype=torch.float64), 0), 2**-24)
        assert found.gain == found.growth == 1
        signs = torch.randint(0, 2, (4000, 3, 4, 4)).float() * 0.5
        apart = (features(x / 2 + signs) - features(x / 2)).abs().amax()
        assert 0.12 < apart <= 0.5 + 1e-6


def test_a_net_without_a_stem_is_as_it_was():
    net = random_net()
    assert "stem" not in net.config and kinds(describe(fold(net))) == {
        *("flatten", "linf_dist", "negate")
    }
    assert random_net(stem=ALL).state_dict().keys() == net.state_dict().keys()


def test_folding_and_back_with_a_stem():
    net = random_net(stem=ALL)
    folded, x = fold(net), torch.rand(20, 3, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), 0.25 * net(x), rtol=1e-5, atol=1e-5)
        back = unfold(folded, net.mean, net.std).eval()
        torch.testing.assert_close(back(x), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_a_stem_is_pruned_and_certified(bound):
    net, x = fold(random_net(stem=ALL)), torch.rand(30, 3, 4, 4)
    pruned = prune(net, [x])
    assert torch.equal(pruned(x), net(x)) and pruned.config["stem"] == ALL
    y_B, eps = pruned(x).argmax(1), 0.01
    certified_B = certify(pruned, x, y_B, eps, bound=bound).certified_B
    assert certified_B.any()
    for _ in range(100):
        corner = (x + eps * torch.randn(x.shape).sign()).clamp(0, 1)
        assert (pruned(corner).argmax(1) == y_B)[certified_B].all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"stem": []}, "stem = "),
        ({"stem": "raw"}, "stem = "),
        ({"stem": ["raw", "raw"]}, "stem = "),
        ({"stem": ["mean3"]}, "stem = "),
        ({"stem": ["mean9999999999"]}, "stem = "),
        ({"stem": [["raw"]]}, "stem = "),
        ({"stem": ["luma1"], "in_chans": 1, "mean": 0.0}, "needs images of 3 channels"),
        ({"stem": ["mean8"]}, "HalfSum takes pairs"),
        ({"stem": ["max8"]}, "not squares of 8 x 8"),
        ({"stem": ["min2"], "img_size": 5}, "not squares of 2 x 2"),
        ({"stem": ["difference4"]}, "HalfDifference takes neighbours"),
    ],
)
def test_features_that_an_image_has_not_are_refused(arguments, word):
    with pytest.raises(UsageError, match=word):
        random_net(**arguments)
