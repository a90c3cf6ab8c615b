"""A small published net of every family of architectures, trained for a second each.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional as F

import zoo.publishing.release
from tests.conftest import NAME
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.data.load import load_data
from zoo.models import LinfAverage, Net, fold, prune
from zoo.publishing.release import Claim, Measuring, release

SIZES = {"in_chans": 1, "img_size": 8, "mean": 0.3058, "std": 0.3754}

STEM = ["raw", "mean2", "difference1", "max2", "min4"]

# Architecture, arguments, the bound that proves and eps.
FAMILIES = {
    "linf_dist_mlp3": ({"width": 24}, "lipschitz", "0.05"),
    "linf_dist_mlp4": ({"width": 16, "stem": STEM}, "interval", "0.03"),
    "sortnet_mlp3": ({"width": 16, "k": 4}, "interval", "0.02"),
    "linf_dist_hybrid3": ({"width": 16, "head_width": 12, "crop": 6}, "interval", "0.02"),
    "linf_dist_conv5": ({"channels": 2, "width": 12, "head_width": 8}, "interval", "0.02"),
    "sortnet_hybrid3": ({"width": 16, "head_width": 12, "k": 4}, "interval", "0.01"),
    "sortnet_crops5": ({"width": 12, "head_width": 8, "k": 3}, "interval", "0.003"),
    "group_sort_mlp3": ({"width": 32}, "lipschitz", "0.02"),
    "cnn3": ({"channels": 4}, "interval", "0.005"),
    "conv1": ({"channels": 4, "width": 16}, "best", "0.01"),
    "cap_small": ({"channels": 2, "width": 16}, "smooth_tight", "0.01"),
    "cnn7_bn": ({"channels": 2, "width": 16}, "best", "0.0005"),
    "cap_resnet": ({"channels": 2, "width": 16}, "crown_ibp", "0.005"),
}


def trained(arch: str, arguments: dict) -> Net:
    """A folded net after 80 steps, the last of them at p = inf, where running means must fit."""
    torch.manual_seed(0)
    net = timm.create_model(arch, **arguments, **SIZES).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03, betas=(0.9, 0.99), eps=1e-10)
    train = load_data("digits", "train")
    for p in [8.0] * 40 + [64.0] * 25 + [math.inf] * 15:
        net.p = p
        x_BCHW, y_B = train.batch(torch.randperm(len(train))[:64])
        optimizer.zero_grad()
        F.cross_entropy(4 * net(x_BCHW), y_B).backward()
        optimizer.step()
    return fold(net.eval())


def average(member: Net, arch: str) -> LinfAverage:
    """Of one net over three views."""
    shared = {key: member.arguments[key] for key in ("num_classes", "in_chans", "img_size")}
    own = {key: value for key, value in member.config.items() if key not in shared}
    views = ["same", "flip", "left"]
    net = LinfAverage([{"arch": arch, "args": own}], views, **shared, folded=True)
    net.members[0].load_state_dict(member.state_dict())
    return net.eval()


def publish_families(shelf: Path, out: Path) -> list[Path]:
    """Weight folders, written as every published one is."""
    test, card = load_data("digits", "test"), Card.read(shelf / NAME)
    about = {key: getattr(card, key) for key in zoo.publishing.release.ORIGIN}
    made = {
        arch: (trained(arch, args), bound, eps) for arch, (args, bound, eps) in FAMILIES.items()
    }
    plain = made["linf_dist_mlp3"][0]
    images = (test.batch(part)[0] for part in torch.arange(len(test)).split(60))
    nets = [(arch, *found, "") for arch, found in made.items()]
    nets += [
        ("linf_dist_mlp3", plain, "interval", "0.05", "_by_interval"),
        ("linf_dist_mlp3", prune(plain, images), "lipschitz", "0.05", "_pruned"),
        ("group_sort_mlp3", made["group_sort_mlp3"][0], "interval", "0.02", "_by_interval"),
        ("sortnet_mlp3", made["sortnet_mlp3"][0], "lipschitz", "0.02", "_by_lipschitz"),
        ("linf_average", average(plain, "linf_dist_mlp3"), "lipschitz", "0.05", "_views"),
        ("linf_average", average(plain, "linf_dist_mlp3"), "interval", "0.05", "_by_interval"),
    ]
    folders, measuring = [], Measuring(PGD(steps=2), quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.publishing.release.CURVE_POINTS", 2)
        for arch, net, bound, eps, variant in nets:
            name = f"{arch}.digits_eps{eps}{variant}"
            claim = Claim(name, arch, Fraction(eps), bound)
            folders.append(release(net, claim, about, test, out, measuring))
    return folders
