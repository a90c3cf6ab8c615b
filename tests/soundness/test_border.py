"""Every bound, every kind of net, both notions, at their own borders (S1 of docs/guarantees.md)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from soundness.border import borders
from soundness.nets import KINDS, RELAXED, RELAXED_ALIKE, predictions, random_images, random_net

IMAGES = 32
# Nets a kind: a border of the Lipschitz bound is a formula, one of the interval bound a search.
NETS = {"lipschitz": (3500, 12), "interval": (160, 1)}
# How many times fewer of these: they cost more.
FEWER = {"sorted": 3, "contracted": 3, "mixed": 3, "average": 6, "stem": 3}
CASES = [
    (name, kind, clip)
    for name, kinds in KINDS.items()
    for kind in kinds
    for clip in ((False,) if name == "lipschitz" else (True, False))
]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "kind", "clip"), CASES)
def test_no_certificate_is_broken_at_its_border(name, kind, clip, times, tally) -> None:
    line = tally(f"border, {name} bound, {kind}, {'clipped' if clip else 'not clipped'}", "broken")
    count = -(-times(*NETS[name]) // FEWER.get(kind, 1))
    for seed in range(count):
        net, x_BCHW = random_net(kind, seed), random_images(seed, IMAGES)
        for border in borders(name, net, x_BCHW, predictions(net, x_BCHW), clip=clip):
            line["cases"] += len(border)
            line["broken"] += border.broken()
    assert line["broken"] == 0
    assert line["cases"] >= 0.8 * 2 * IMAGES * count


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", RELAXED)
def test_no_certificate_of_a_stepwise_bound_is_broken(name, times, tally) -> None:
    attack_borders(name, RELAXED[name][: times(9, 1)], times(100, 1), tally)


@pytest.mark.usefixtures("one_thread", "only_full")
@pytest.mark.parametrize("name", RELAXED_ALIKE)
def test_no_certificate_of_its_kin_is_broken(name, tally) -> None:
    attack_borders(name, RELAXED_ALIKE[name], 100, tally)


def attack_borders(name: str, kinds: Sequence[str], count: int, tally) -> None:
    for kind in kinds:
        line = tally(f"border, {name} bound, {kind}", "broken")
        for seed in range(count):
            net, x_BCHW = random_net(kind, seed), random_images(seed, IMAGES // 4)
            clip = seed % 2 == 0
            for border in borders(name, net, x_BCHW, predictions(net, x_BCHW), clip=clip):
                line["cases"] += len(border)
                line["broken"] += border.broken()
        assert line["broken"] == 0
        assert line["cases"] >= 0.8 * 2 * IMAGES // 4 * count
