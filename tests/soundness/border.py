"""The border method: find the largest eps that a bound accepts, and attack the net there.

A sound certifier survives at any eps that it accepts, so mistakes of every size show at the border;
at a fixed eps most of them do not. Each notion has a border of its own: the program (B) is run at
float images of the ball, the exact function (A) at its exact corners, in rational arithmetic.

Shapes: B images, D pixels of an image, P attack points, K classes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from soundness import exact
from zoo.bounds import create_bound
from zoo.boxes import Box, box
from zoo.margins import margins_of, worst

_STEPS = 36  # of bisection: to some 1e-11
_TINY = Fraction(1, 2**20)
_ENDS = ("lower", "upper")


@dataclass(frozen=True)
class Border:
    """For each image the largest eps at which one notion of one bound accepts it; None: none."""

    net: nn.Module
    x_BCHW: Tensor
    y_B: Tensor
    eps_B: list[Fraction | None]
    clip: bool
    notion: str

    def __len__(self) -> int:
        return sum(eps is not None for eps in self.eps_B)

    def broken(self) -> int:
        """How many images with an accepted eps change class within their ball."""
        at = [i for i, eps in enumerate(self.eps_B) if eps is not None]
        if not at:
            return 0
        x_ACHW, y_A, eps_A = self.x_BCHW[at], self.y_B[at], [self.eps_B[i] for i in at]
        attack = program_breaks if self.notion == "deployed" else function_breaks
        return int(attack(self.net, x_ACHW, y_A, eps_A, clip=self.clip).sum())


def borders(
    name: str, net: nn.Module, x_BCHW: Tensor, y_B: Tensor, *, clip: bool
) -> Iterator[Border]:
    """The border of each notion of a bound."""
    bound, wide = create_bound(name), _twin(net)
    for notion in ("real", "deployed"):
        model, x = (wide, x_BCHW.double()) if notion == "real" else (net, x_BCHW)

        def accepts(eps_B: list[Fraction], model=model, x=x, notion=notion) -> np.ndarray:
            within = boxes(x, eps_B, clip=clip)
            with torch.no_grad():
                margins_BK = getattr(bound, notion)(model, within, y_B)
            return (worst(margins_BK, y_B) > 0).numpy()

        if name == "lipschitz":  # a line in eps: its root is the border
            with torch.no_grad():
                line = getattr(bound, f"{notion}_line")(model, x, y_B)
            line = line if notion == "real" else line[0]
            eps_B = [
                min(Fraction(radius), Fraction(1)) if radius > _TINY else None
                for radius in line.radius(y_B).tolist()
            ]
        else:
            eps_B = _bisected(accepts, len(x_BCHW))
        yield Border(net, x_BCHW, y_B, eps_B, clip, notion)


def _twin(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).double()


def boxes(x_BCHW: Tensor, eps_B: list[Fraction], *, clip: bool) -> Box:
    """One batch of boxes of several radii; for bounds that read only the ends."""
    each = [box(x_CHW[None], eps, clip) for x_CHW, eps in zip(x_BCHW, eps_B, strict=True)]
    lower, upper = (torch.cat([getattr(b, f"{end}_BCHW") for b in each]) for end in _ENDS)
    return Box(x_BCHW, max(eps_B), lower, upper, clip)


def _bisected(accepts, count: int) -> list[Fraction | None]:
    low, high = [_TINY] * count, [Fraction(1)] * count
    alive = accepts(low)
    for _ in range(_STEPS):
        # A dyadic middle: Fractions stay short.
        middle = [Fraction(float(a + b) / 2) for a, b in zip(low, high, strict=True)]
        verdicts = accepts(middle)
        for i, (eps, verdict) in enumerate(zip(middle, verdicts, strict=True)):
            (low if verdict else high)[i] = eps
    return [eps if ok else None for eps, ok in zip(low, alive, strict=True)]


# ----------------------------------------------------------------------------------------- attacks

_SHARES = np.array(list(itertools.product((0, 1, 2), repeat=4)))  # lower end, centre, upper end


def program_breaks(
    net: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps_B: list[Fraction], *, clip: bool
) -> np.ndarray:
    """Which images a float image of the real ball takes from their class, by any route but luck."""
    points_BPD = float_points(x_BCHW.flatten(1).numpy(), eps_B, clip=clip)
    count = points_BPD.shape[1]
    points = torch.from_numpy(points_BPD).reshape(-1, *x_BCHW.shape[1:])
    with torch.no_grad():
        margins_BK = margins_of(net(points), y_B.repeat_interleave(count))
    lowest = worst(margins_BK, y_B.repeat_interleave(count)).reshape(-1, count)
    return (~(lowest > 0)).any(1).numpy()


def float_points(x_BD: np.ndarray, eps_B: list[Fraction], *, clip: bool) -> np.ndarray:
    """Corners, faces and centre of each ball, corners some floats inside, and random points."""
    lower_BD, upper_BD = inner_ends(x_BD, eps_B, clip=clip)
    ends = np.stack([lower_BD, x_BD, upper_BD])
    pixels = np.arange(x_BD.shape[1])
    lattice_BPD = ends[_SHARES[:, :], :, pixels].transpose(2, 0, 1)
    g = np.random.default_rng(len(eps_B))
    steps = g.integers(1, 4, (1, 32, len(pixels)))
    side = g.integers(0, 2, (1, 32, len(pixels)))
    near = np.where(side, upper_BD[:, None], lower_BD[:, None])
    for step in range(3):
        towards = x_BD[:, None]
        near = np.where(steps > step, np.nextafter(near, towards), near)
    share = g.random((1, 32, len(pixels)), np.float32)
    inside = lower_BD[:, None] + share * (upper_BD - lower_BD)[:, None]
    inside = np.clip(inside, lower_BD[:, None], upper_BD[:, None])
    return np.concatenate([lattice_BPD, near, inside], 1).astype(x_BD.dtype)


def inner_ends(
    x_BD: np.ndarray, eps_B: list[Fraction], *, clip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest float of each pixel in the real ball, by rational comparison."""
    lower_BD, upper_BD = np.empty_like(x_BD), np.empty_like(x_BD)
    for b, eps in enumerate(eps_B):
        for d, x in enumerate(x_BD[b]):
            low, high = exact_ends(x, eps, clip=clip)
            lower_BD[b, d] = _float_towards(low, x)
            upper_BD[b, d] = _float_towards(high, x)
    return lower_BD, upper_BD


def exact_ends(x: np.floating, eps: Fraction, *, clip: bool) -> tuple[Fraction, Fraction]:
    """Ends of one pixel's interval."""
    low, high = Fraction(x.item()) - eps, Fraction(x.item()) + eps
    return (max(low, Fraction(0)), min(high, Fraction(1))) if clip else (low, high)


def _float_towards(end: Fraction, x: np.floating) -> np.floating:
    """The float nearest to an end that lies between it and x."""
    found = x.dtype.type(float(end))
    outside = Fraction(found.item()) > end if end > x else Fraction(found.item()) < end
    return np.nextafter(found, x) if outside else found


def function_breaks(
    net: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps_B: list[Fraction], *, clip: bool
) -> np.ndarray:
    """Which images the exact function gives another class at an exact corner of the ball."""
    wide = _twin(net)
    broken = np.zeros(len(x_BCHW), bool)
    shape = x_BCHW.shape[1:]
    for b, (x_D, eps) in enumerate(zip(x_BCHW.flatten(1).numpy(), eps_B, strict=True)):
        ends = [exact_ends(x, eps, clip=clip) for x in x_D]
        choices = [
            (low, Fraction(x.item()), high) for (low, high), x in zip(ends, x_D, strict=True)
        ]
        table = np.array([[float(value) for value in choice] for choice in choices])
        points = torch.from_numpy(table[np.arange(len(x_D)), _SHARES]).reshape(-1, *shape)
        y = y_B[b].expand(len(points))
        with torch.no_grad():
            lowest_P = worst(margins_of(wide(points), y), y)
        # float64 says where to look; rational arithmetic decides
        share = _SHARES[int(lowest_P.argmin())]
        point = np.array([choices[d][s] for d, s in enumerate(share)], object).reshape(shape)
        broken[b] = exact.worst_margin(net, point, int(y_B[b])) <= 0
    return broken
