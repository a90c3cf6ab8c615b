"""Numbers against rationals: eps, pixels, boxes, directed casts, and a margin that falls in eps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

import zoo.boxes
import zoo.data.pixels
import zoo.eps
import zoo.layers.average
import zoo.rounding
from zoo.bounds.lipschitz import Line, Lipschitz
from zoo.layers import Normalize
from zoo.models import LinfDistMLP

EPS = ["1/3", "8/255", "2/255", "0.1", "0.3", "1/7", "0", "1", "0.031372549019607840"]


def hunt() -> Iterator[str]:
    yield from eps()
    yield from pixels()
    yield from casts()
    yield from boxes()
    yield from lines()
    yield from constants()
    yield from norms()
    yield from shares()


def eps() -> Iterator[str]:
    for text in EPS:
        exact = Fraction(text)
        if zoo.eps.parse_eps(text) != exact:
            yield f"eps {text} is read as {zoo.eps.parse_eps(text)}"
        for value in (exact, 2 * exact, -exact, exact / 3):
            up, down = zoo.eps.round_up(value), zoo.eps.round_down(value)
            if not Fraction(down) <= value <= Fraction(up):
                yield f"{value} is not between {down!r} and {up!r}"
            if value not in (Fraction(up), Fraction(down)) and math.nextafter(down, 2) != up:
                yield f"{down!r} and {up!r} are not neighbours around {value}"


def pixels() -> Iterator[str]:
    for levels in (255, 16):
        table = zoo.data.pixels.level_table(levels)
        for v in range(levels + 1):
            exact, found = Fraction(v, levels), table[v].numpy()
            gap = abs(Fraction(found.item()) - exact)
            for way in (-1, 2):
                beside = np.nextafter(found, np.float32(way))
                if abs(Fraction(beside.item()) - exact) < gap:
                    yield f"pixel {v} of {levels} is {found}, {beside} is nearer"


def casts() -> Iterator[str]:
    x = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    down, up = (cast(x, torch.float32) for cast in (zoo.rounding.cast_down, zoo.rounding.cast_up))
    if (down.double() > x).any() or (up.double() < x).any():
        yield "a cast went to the wrong side"
    if (torch.nextafter(down, torch.ones(200)) != up).any():
        yield "a cast went further than to the neighbour"


def boxes() -> Iterator[str]:
    for dtype in (torch.float32, torch.float64):
        for text in EPS[:-1]:
            eps = Fraction(text)
            x = torch.tensor(_pixels_beside(float(eps)), dtype=dtype).clamp(0, 1)
            for clip in (True, False):
                yield from _box(x.reshape(1, 1, 1, -1), eps, clip)


def _pixels_beside(eps: float) -> list[float]:
    """Some pixels, and those whose box begins or ends beside 0 or 1."""
    at = [eps, 1 - eps]
    beside = [math.nextafter(v, side) for v in at for side in (-1, 2)]
    near = [np.nextafter(np.float32(v), np.float32(side)).item() for v in at for side in (-1, 2)]
    return [0.0, 0.05, 1 / 3, 0.5, 0.77, 0.95, 1.0, *at, *beside, *near]


def _box(x: Tensor, eps: Fraction, clip: bool) -> Iterator[str]:
    box = zoo.boxes.box(x, eps, clip)
    inside = box.inner()
    ends = (box.lower_BCHW, box.upper_BCHW, *inside)
    for v, lower, upper, inner, outer in zip(
        x.flatten(), *(e.flatten() for e in ends), strict=True
    ):
        low, high = Fraction(v.item()) - eps, Fraction(v.item()) + eps
        if clip:
            low, high = max(low, Fraction(0)), min(high, Fraction(1))
        if not Fraction(lower.item()) <= low <= high <= Fraction(upper.item()):
            yield f"the box of {v.item()!r} at {eps}, clip={clip}, lacks a part of the real box"
        if not low <= Fraction(inner.item()) <= Fraction(outer.item()) <= high:
            yield f"the inner box of {v.item()!r} at {eps}, clip={clip}, leaves the real box"
        unit = Fraction(torch.finfo(x.dtype).eps)
        if Fraction(upper.item()) - high > 4 * unit or low - Fraction(lower.item()) > 4 * unit:
            yield f"the box of {v.item()!r} at {eps}, clip={clip}, is wider than rounding needs"


def lines() -> Iterator[str]:
    """start - slope * eps, to the rounding of one subtraction, for which the slope has room."""
    y_B = torch.tensor([0])
    for start in (0.3, 1e-9, 2.0):
        for slope in (2.0, 1 / 0.3, 6.5):
            line = Line(torch.tensor([[0.0, start]], dtype=torch.float64), slope)
            for text in EPS:
                exact = Fraction(start) - Fraction(slope) * Fraction(text)
                room = Fraction(2**-52) * (Fraction(start) + Fraction(slope) * Fraction(text))
                found = Fraction(line.at(Fraction(text), y_B)[0, 1].item())
                if not exact - 2 * room <= found <= exact + room / 2:
                    yield f"{start} - {slope:.4g} * {text} is {float(found)!r}"


def constants() -> Iterator[str]:
    for std in (0.3081, 0.2, 0.3754, 0.25, 1.0, 3.0):
        layer = Normalize([0.5], std)
        if Fraction(layer.lipschitz) < 1 / Fraction(layer.std.item()):
            yield f"1 / {std} is {layer.lipschitz!r}, rounded down"
    net = LinfDistMLP(1, num_classes=2, in_chans=1, img_size=1, std=0.25).eval()
    net.layers = nn.Sequential(Normalize([0.0], 0.125), *net.layers).eval()
    x, y_B = torch.zeros(1, 1, 1, 1), torch.tensor([0])
    slopes = [
        Lipschitz().real_line(net, x, y_B).slope,
        Lipschitz().deployed_line(net, x, y_B)[0].slope,
    ]
    if net.lipschitz != 32 or min(slopes) < 64:
        yield f"1 / 0.25 and 1 / 0.125 in a row are {net.lipschitz}; margins fall by {slopes}"


def norms() -> Iterator[str]:
    """Sums of |w| from above, told exactly whether they are above 1; rows contracted to 1."""
    g = torch.Generator().manual_seed(0)
    rows = [torch.randn(8, 33, generator=g), torch.randn(8, 33, generator=g) / 33]
    third = torch.tensor(1 / 3)
    above = torch.tensor([third, third, torch.nextafter(third, torch.ones(()))])
    rows += [torch.tensor([[0.5, -0.5], [1.0, 0.0], [1.0, 2.0**-60], [0.0, 1e-40]]), above[None]]
    for w_OI in rows:
        for name, w in (("given", w_OI), ("contracted", zoo.rounding.contracted(w_OI, w_OI.dtype))):
            exact = [sum(map(Fraction, row)) for row in w.abs().tolist()]
            found = list(map(Fraction, zoo.rounding.row_norms(w).tolist()))
            if any(f < e or (e <= 1 < f) for f, e in zip(found, exact, strict=True)):
                yield f"{name} rows have norms that are not those found"
            if name == "contracted" and max(exact) > 1:
                yield "a contracted row has a norm above 1"


def shares() -> Iterator[str]:
    """Equal shares, so many of which are not above 1 and the next larger ones are."""
    for count in range(1, 70):
        share = np.float32(zoo.layers.average.equal_share(count))
        larger = np.nextafter(share, np.float32(2))
        if not Fraction(share.item()) * count <= 1 < Fraction(larger.item()) * count:
            yield f"{count} shares of {share!r}"
