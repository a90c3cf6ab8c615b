"""A verdict is a fact of the weights (S8): batches, threads and kernels move no bit of it."""

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
import json, sys, torch, zoo
from zoo.ops.native import describe
found = [describe()]
for name, count, threads, size in json.loads(sys.argv[1]):
    torch.set_num_threads(threads)
    report = zoo.evaluate(name, attack=None, n=count, batch_size=size)
    found.append([name, report.logits_sha256, report.samples])
print(json.dumps(found))
"""
# Threads, images a batch.
SETTINGS = [(1, 256), (2, 7), (2, 256), (1, 1)]


def available() -> dict[str, int]:
    """Published models whose data are here, and how many images their claims are about."""
    counts = {}
    for name in read_index():
        card = zoo.info(name)
        try:
            load_data(card.data, card.split)
        except NotFoundError:
            continue
        counts[name] = card.counts.n
    return counts


def evaluated(ops: str, plan: list[tuple]) -> list:
    """What another process finds with one kind of kernels."""
    words = [sys.executable, "-c", PROGRAM, json.dumps(plan)]
    done = subprocess.run(
        words, env=os.environ | {"ZOO_OPS": ops}, capture_output=True, text=True, check=True
    )
    described, *found = json.loads(done.stdout.splitlines()[-1])
    assert described.startswith("native" if ops == "native" else "torch reference")
    return found


def test_verdicts_are_the_same_bits_in_any_batch_thread_or_kernel(times, tally, kernels) -> None:
    line = tally("batches, threads, kernels", "other verdicts", "other logits")
    # The reference is slow at single images: a part of a large split tells as much.
    plan = [
        (name, times(total, min(total, 90)) if size > 1 else 90, threads, size)
        for name, total in available().items()
        for threads, size in SETTINGS[: times(4, 2)]
    ]
    first: dict[tuple, list] = {}
    for ops in ("native", "torch"):
        for (name, count, *_), (_, logits, samples) in zip(plan, evaluated(ops, plan), strict=True):
            same = first.setdefault((name, count), [logits, samples])
            line["other logits"] += logits != same[0]
            line["other verdicts"] += samples != same[1]
            line["evaluations"] += 1
            if count == zoo.info(name).counts.n:
                assert logits == zoo.info(name).logits_sha256
    assert line["evaluations"] >= 12
    assert line["other verdicts"] == line["other logits"] == 0


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
