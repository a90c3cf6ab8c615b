"""Lines around the ReLU, of all relaxations: they hold where it bends and at both ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import torch

import zoo.relaxations as engine

ENDS = (0.0, 1.0, 1 / 3, 7.3, 1e-3, 4e5)


def hunt() -> Iterator[str]:
    pairs = [(a, b) for a, b in itertools.product([-e for e in ENDS] + [*ENDS], repeat=2) if a <= b]
    g = torch.Generator().manual_seed(0)
    some = torch.randn(60, 2, generator=g).sort(1).values
    lower, upper = torch.cat([torch.tensor(pairs), some]).T
    for name in engine.relaxations:
        found = engine.lines(engine.relaxations[name]()(lower, upper), lower, upper, rigorous=True)
        rows = zip(lower.tolist(), upper.tolist(), *(line.tolist() for line in found), strict=True)
        for low, high, *line in rows:
            below, under, above, over = map(Fraction, line)
            for z in {Fraction(low), Fraction(high), Fraction(min(max(0, low), high))}:
                if not below * z + under <= max(z, 0) <= above * z + over:
                    yield f"{name}: a line crosses the ReLU on [{low}, {high}]"
