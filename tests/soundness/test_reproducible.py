"""A verdict is a fact of the weights (S8): batches, threads and kernels do not move it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

import zoo
from zoo.cards.index import read_index
from zoo.data.load import load_data
from zoo.errors import NotFoundError

PROGRAM = """
import functools, json, sys, torch, zoo
from zoo.data.load import load_data
from zoo.ops.native import describe
load_data = functools.cache(load_data)
found = [describe()]
for name, count, threads, size in json.loads(sys.argv[1]):
    torch.set_num_threads(threads)
    card = zoo.info(name)
    split = load_data(card.data, card.split)
    report = zoo.evaluate(name, split, attack=None, n=count, batch_size=size)
    found.append([name, report.logits_sha256, report.samples])
print(json.dumps(found))
"""
# Threads, images a batch.
SETTINGS = [(1, 256), (2, 7), (2, 256), (1, 1)]
# Logits of this size or less are not told apart by nets whose sums have no fixed order.
ROUNDING = 1e-4


def available() -> dict[str, int]:
    """Published models whose data are here, and how many images their claims are about."""
    cards = {name: zoo.info(name) for name in read_index()}
    here = {
        split: _is_here(*split) for split in {(card.data, card.split) for card in cards.values()}
    }
    return {name: card.counts.n for name, card in cards.items() if here[card.data, card.split]}


def _is_here(data: str, split: str) -> bool:
    try:
        load_data(data, split)
    except NotFoundError:
        return False
    return True


def evaluated(ops: str, plan: list[tuple]) -> list:
    """What another process finds with one kind of kernels."""
    words = [sys.executable, "-c", PROGRAM, json.dumps(plan)]
    done = subprocess.run(
        words, env=os.environ | {"ZOO_OPS": ops}, capture_output=True, text=True, check=True
    )
    described, *found = json.loads(done.stdout.splitlines()[-1])
    assert described.startswith("native" if ops == "native" else "torch reference")
    return found


def test_verdicts_are_the_same_in_any_batch_thread_or_kernel(times, tally, kernels) -> None:
    """To the bit for nets of a fixed order of sums, whose cards pin their logits.

    Others promise verdicts for any order: their bounds may differ in the last places, so an image
    may have another verdict where its margin is as small as those, and there alone.
    """
    line = tally("batches, threads, kernels", "other verdicts", "other logits")
    # The reference is slow: a part of a large split tells as much, and a net of each kind.
    counts = available()
    kinds = {(zoo.info(name).arch, zoo.info(name).bound): name for name in counts}
    names = sorted({*counts} if times(1, 0) else {*kinds.values()})
    plan = [
        (name, counts[name] if counts[name] < 1000 and size > 1 else times(300, 10), threads, size)
        for name in names
        for threads, size in SETTINGS[: times(4, 2)]
    ]
    first: dict[tuple, list] = {}
    for ops in ("native", "torch"):
        for (name, count, *_), (_, logits, samples) in zip(plan, evaluated(ops, plan), strict=True):
            card, same = zoo.info(name), first.setdefault((name, count), [logits, samples])
            line["evaluations"] += 1
            if card.logits_sha256 is None:
                line["other verdicts"] += [*map(verdict, samples)] != [*map(verdict, same[1])]
                continue
            line["other logits"] += logits != same[0]
            line["other verdicts"] += samples != same[1]
            if count == card.counts.n:
                assert logits == card.logits_sha256
    assert line["evaluations"] == 2 * len(plan) >= 4
    assert line["other verdicts"] == line["other logits"] == 0


def verdict(sample: dict) -> list:
    """What does not hang on the order of sums."""
    keys = ("index", "label", "pred", "status", "naive", "a", "b")
    near = abs(sample["margin"]) < ROUNDING
    return [sample["index"]] if near else [sample[key] for key in keys]


def test_the_order_of_pixels_and_of_images_moves_no_bit() -> None:
    net = zoo.load("linf_dist_mlp3.digits_eps0.1")
    x_BCHW, _ = load_data("digits", "test").batch(torch.arange(64))
    g = torch.Generator().manual_seed(0)
    order, images = torch.randperm(64, generator=g), torch.randperm(64, generator=g)
    with torch.no_grad():
        logits_BK = net(x_BCHW)
        first = net.layers.dist1
        first.weight.copy_(first.weight[:, order].clone())
        shuffled = x_BCHW.flatten(1)[:, order].reshape(x_BCHW.shape)
        assert torch.equal(net(shuffled), logits_BK)
        assert torch.equal(net(shuffled[images]), logits_BK[images])
