"""Small random nets of every kind that a bound takes, and images for them.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor, nn

from zoo.layers import (
    Crops,
    Join,
    LinfLinear,
    LpDist,
    LpDistConv2d,
    LpDistLinear,
    MeanShift,
    Negate,
    Normalize,
    Residual,
)
from zoo.models import (
    GroupSortMLP,
    LinfAverage,
    LinfDistConv,
    LinfDistHybrid,
    LinfDistMLP,
    Net,
    SortNetMLP,
    fold,
    prune,
)

SIDE = 2  # images of 2 x 2 pixels have 16 corners: all are tried
CLASSES = 3
STD = 0.3081

# Which nets each bound takes; "plain" nets are 1-Lipschitz by construction or say their constant.
KINDS = {
    "lipschitz": [
        *("folded", "normalized", "pruned", "distconv", "sorted"),
        *("group_sorted", "contracted", "mixed", "average", "stem", "crops"),
    ],
    "interval": [
        *("folded", "normalized", "pruned", "distconv", "sorted"),
        *("group_sorted", "contracted", "average", "stem", "crops"),
        *(
            "residual",
            "pooled",
            "parts",
            "relu",
            "conv",
            "head",
            "hybrid",
            "hybrid_normalized",
            "hybrid_conv",
        ),
    ],
}

# Bounds that go along a net's steps by affine and relaxation rules.
RELAXED = {
    **dict.fromkeys(
        ("crown", "cap", "cap_ibp", "crown_ibp_zero", "best"), ("relu", "batch_normed", "residual")
    ),
    **dict.fromkeys(
        ("crown_ibp", "hzono"), ("batch_normed", "distconv", "residual", "parts", "stem")
    ),
    # By every way that a layer can let symbols through.
    **dict.fromkeys(
        ("deepz", "hbox"),
        ("pooled", "relu", "residual", "head", "distconv", "sorted", "group_sorted"),
    ),
    **dict.fromkeys(("deepz_diag_c", "hbox_diag_c", "deepz_ibp"), ("relu", "batch_normed")),
    "smooth_tight": ("residual", "relu", "parts"),
}
# Those that differ from others in their slopes alone.
RELAXED_ALIKE = {
    name: ["relu", "batch_normed"]
    for name in (
        *("deepz_box", "deepz_diag", "deepz_switch", "deepz_soft"),
        *("hbox_diag", "hbox_switch", "alpha_crown", "alpha_crown_ibp", "triangle"),
        *("alpha_deepz", "deepz:slanted", "hzono:soft_slope:gamma=10"),
        *("crown_ibp:soft", "crown_ibp:zero_c", "crown_ibp:one", "crown_ibp:one_c"),
        *("crown_ibp:zero_tria", "crown_ibp:zero_tria_c", "crown:one_tria", "crown:one_tria_c"),
    )
}


@torch.no_grad()
def random_net(kind: str, seed: int) -> nn.Module:
    """A net in eval mode, sharp enough that its margins are not all the same."""
    torch.manual_seed(seed)
    net = _BUILD[kind](seed)
    return net.eval()


STEM = ["raw", "mean2", "difference1", "max2", "min2"]


def _distance(seed: int, kind: Callable[..., Net] = LinfDistMLP, **own: object) -> Net:
    net = kind(
        3, width=6, num_classes=CLASSES, in_chans=1, img_size=SIDE, mean=0.13, std=STD, **own
    )
    _sharpen(net, seed)
    return net.eval()


def _sorted(seed: int) -> Net:
    """Folded and not, with weights that fall fast, slowly and not within the first three."""
    net = _distance(seed, SortNetMLP, rho=(0.3, 0.9, 0.6)[seed % 3], k=3 + seed % 4)
    return fold(net) if seed % 2 else net


def _sharpen(net: nn.Module, seed: int) -> None:
    for layer in net.modules():
        if isinstance(layer, MeanShift):
            nn.init.normal_(layer.running_mean_O, 2.0, 0.5)
        if isinstance(layer, LpDist):
            nn.init.normal_(layer.weight, 0.0, 1.0 + seed % 3)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0.0, 0.5)


def _pruned(seed: int) -> LinfDistMLP:
    return prune(fold(_distance(seed)), [torch.rand(12, 1, SIDE, SIDE)])


def _distconv(seed: int) -> nn.Module:
    net = nn.Sequential(
        Normalize([0.4], 0.3),
        LpDistConv2d(1, 3, 2, stride=1, padding=1, bias=True),
        MeanShift(3),
        LpDistConv2d(3, 4, 2, bias=True),
        nn.Flatten(),
        LpDistLinear(16, CLASSES, bias=True),
        Negate(),
    )
    _sharpen(net, seed)
    net.lipschitz = net[0].lipschitz
    return net


def _contracted(seed: int) -> GroupSortMLP:
    """A GroupSort net in training form; some rows are divided by their norm, others are not."""
    net = GroupSortMLP(
        3, width=6, num_classes=CLASSES, in_chans=1, img_size=SIDE, mean=0.13, std=STD
    )
    for layer in net.modules():
        if isinstance(layer, LinfLinear):
            layer.weight.mul_(1 - 0.5 * (seed % 2)).add_(0.15 * torch.randn(layer.weight.shape))
            nn.init.normal_(layer.bias, 0.0, 0.3)
    return net.eval()


def _average(seed: int) -> LinfAverage:
    """Three nets of different kinds and two views: six shares, which are not exact."""
    nets = [fold(_distance(seed)), fold(_contracted(seed)), _pruned(seed + 1)]
    arches = ("linf_dist_mlp3", "group_sort_mlp3", "linf_dist_mlp3")
    sizes = {"num_classes": CLASSES, "in_chans": 1, "img_size": SIDE}
    members = [
        {"arch": arch, "args": {k: v for k, v in net.config.items() if k not in sizes}}
        for arch, net in zip(arches, nets, strict=True)
    ]
    average = LinfAverage(members, ["flip", "down"], **sizes, folded=True)
    for member, net in zip(average.members, nets, strict=True):
        member.load_state_dict(net.state_dict())
    return average.eval()


def _mixed(seed: int) -> nn.Module:
    """Linear layers of any gain around distances, and the constant that follows from them."""
    body = LpDistLinear(6, 6, bias=True)
    net = nn.Sequential(
        Normalize([0.4], 0.3), nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), body, nn.Linear(6, CLASSES)
    )
    _sharpen(net, seed)
    gains = [Fraction(net[0].lipschitz)]
    gains += [max(sum(map(Fraction, row)) for row in net[i].weight.abs().tolist()) for i in (2, 5)]
    net.lipschitz = float(math.prod(gains)) * (1 + 2.0**-40)
    return net


def _relu(seed: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, CLASSES)
    )


def _conv(seed: int) -> nn.Module:
    return nn.Sequential(
        Normalize([0.2], 0.4),
        nn.Conv2d(1, 4, 2, stride=1, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )


def _batch_normed(seed: int) -> nn.Module:
    """Convolutions with strides and groups, a BatchNorm of some statistics, and means."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 2, stride=1, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.AvgPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Linear(5, CLASSES),
    )
    norm = net[1]
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.05, 0.5)
    norm.weight.normal_(1, 0.3)
    norm.bias.normal_(0, 0.2)
    return net


def _residual(seed: int) -> nn.Module:
    """Two blocks, one with the identity and one with a convolution beside it."""
    body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    down = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 1))
    return nn.Sequential(
        Normalize([0.2], 0.4),
        nn.Conv2d(1, 3, 1),
        nn.ReLU(),
        Residual(body),
        nn.ReLU(),
        Residual(down, nn.Conv2d(3, 4, 2, stride=2)),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4, CLASSES),
    )


def _pooled(seed: int) -> nn.Module:
    """Batch norms with statistics of their own, and pooling of either kind."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2, 1) if seed % 2 else nn.AvgPool2d(2, 1),
        nn.MaxPool2d(2, 2, 1) if seed % 3 else nn.AvgPool2d(2, 2, 1),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Linear(6, CLASSES),
    )
    sharpen_norms(net)
    return net


def _parts(seed: int) -> nn.Module:
    """Means of parts of an image, equal and overlapping ones, behind a dropout that rests."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 2, padding=1),
        nn.ReLU(),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1 + seed % 2),
        nn.Flatten(),
        nn.Linear(16 if seed % 2 else 4, 6),
        nn.ReLU(),
        nn.Linear(6, CLASSES),
    )


def sharpen_norms(net: nn.Module) -> None:
    """Statistics and weights of batch norms as training leaves them, some weights negative."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0.0, 0.3)
            nn.init.uniform_(layer.running_var, 0.01, 0.5)
            nn.init.normal_(layer.weight, 0.5, 1.0)
            nn.init.normal_(layer.bias, 0.0, 0.5)


def _head(seed: int) -> nn.Module:
    """A distance net with an affine head: exact intervals first, sums in any order behind."""
    body = LpDistLinear(4, 6, bias=True)
    net = nn.Sequential(nn.Flatten(), body, nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    _sharpen(net, seed)
    return net


def _crops(seed: int) -> nn.Module:
    """Each pixel through the same neurons, then all of them together."""
    net = nn.Sequential(
        Normalize([0.4], 0.3),
        Crops(1, 1),
        LpDistLinear(1, 3),
        MeanShift(3),
        Join(SIDE**2),
        LpDistLinear(3 * SIDE**2, CLASSES, bias=True),
        Negate(),
    )
    _sharpen(net, seed)
    net.lipschitz = net[0].lipschitz
    return net


def _hybrid(seed: int) -> Net:
    """A distance net with an MLP head, as it trains: tanh, and scaled linear layers."""
    sizes = {"num_classes": CLASSES, "in_chans": 1, "img_size": SIDE, "mean": 0.13, "std": STD}
    net = LinfDistHybrid(2, width=6, head_width=5, **sizes)
    _sharpen(net, seed)
    return net.eval()


def _hybrid_conv(seed: int) -> Net:
    """Its convolutional kin, folded: the first border holds the mean."""
    sizes = {"num_classes": CLASSES, "in_chans": 1, "img_size": SIDE, "mean": 0.13, "std": STD}
    net = LinfDistConv(3, channels=2, width=6, head_width=5, **sizes)
    _sharpen(net, seed)
    return fold(net.eval())


_BUILD = {
    "folded": lambda seed: fold(_distance(seed)),
    "normalized": _distance,
    "pruned": _pruned,
    "sorted": _sorted,
    "distconv": _distconv,
    "group_sorted": lambda seed: fold(_contracted(seed)),
    "contracted": _contracted,
    "mixed": _mixed,
    "average": _average,
    "stem": lambda seed: fold(_distance(seed, stem=STEM)),
    "crops": _crops,
    "relu": _relu,
    "conv": _conv,
    "batch_normed": _batch_normed,
    "residual": _residual,
    "pooled": _pooled,
    "parts": _parts,
    "head": _head,
    "hybrid": lambda seed: fold(_hybrid(seed)),
    "hybrid_normalized": _hybrid,
    "hybrid_conv": _hybrid_conv,
}


def random_images(seed: int, count: int) -> Tensor:
    """Images of which some pixels lie at the ends of the range, where boxes are clipped."""
    generator = torch.Generator().manual_seed(seed)
    x_BCHW = torch.rand(count, 1, SIDE, SIDE, generator=generator)
    return torch.where(x_BCHW < 0.15, 0.0, torch.where(x_BCHW > 0.85, 1.0, x_BCHW))


def predictions(net: nn.Module, x_BCHW: Tensor) -> Tensor:
    """The class of each image, which is taken for its label."""
    with torch.no_grad():
        return net(x_BCHW).argmax(1)
