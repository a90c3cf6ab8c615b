"""Evaluation counts every image of a split once, as it is, and counts what it certified.

Shapes: N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from soundness.asking import Corner, digit_net, digits
from soundness.border import inner_ends
from zoo.certification import Certificate, certify, evaluate

COUNT = 60
EPS = "0.02"


def hunt() -> Iterator[str]:
    net, some = digit_net(), digits(COUNT)
    x_NCHW = torch.from_numpy((some.x_NCHW.numpy() / np.float64(16)).astype(np.float32))
    with torch.no_grad():
        own_N = net(x_NCHW).argmax(1)
    # The net's own classes, so that there is something to certify, but for every fourth image.
    labels_N = torch.where(torch.arange(COUNT) % 4 == 3, (own_N + 1) % 10, own_N)
    pixels = replace(some, y_N=labels_N)
    for bound in ("lipschitz", "interval"):
        wanted = certify(net, x_NCHW, labels_N, EPS, bound=bound)
        report = evaluate(
            net, pixels, eps=EPS, bound=bound, attack=Corner(), batch_size=25, quiet=True
        )
        row, samples = report.rows[0], report.samples
        if [sample["index"] for sample in samples] != list(range(COUNT)) or row.n != COUNT:
            yield f"{bound}: {len(samples)} images in the list and {row.n} in the row, of {COUNT}"
            continue
        if not wanted.certified_B.any() or wanted.certified_B.all():
            yield f"{bound}: this hunt needs verdicts of both kinds"
        for column, values in columns(wanted).items():
            off = [s["index"] for s, v in zip(samples, values, strict=True) if s[column] != v]
            if off:
                yield f"{bound}: {column} of images {off[:5]} is not that of the image itself"
        yield from totals(row, [sample["status"] for sample in samples], wanted)
    yield from attacked(net, pixels, x_NCHW)


def columns(certificate: Certificate) -> dict[str, list]:
    clean_N = certificate.clean_B
    return {
        "label": certificate.labels_B.tolist(),
        "pred": certificate.preds_B.tolist(),
        "a": (certificate.real_B & clean_N).int().tolist(),
        "b": (certificate.deployed_B & clean_N).int().tolist(),
        "naive": (certificate.naive_B & clean_N).int().tolist(),
    }


def totals(row, statuses: list[str], wanted: Certificate) -> Iterator[str]:
    proved_N = wanted.real_B & wanted.deployed_B
    told = [i for i, status in enumerate(statuses) if status == "certified"]
    if told != proved_N.nonzero()[:, 0].tolist():
        yield "the images told to be certified are not those with A and B"
    counts = Counter(statuses)
    recounted = {
        "n_certified": int(proved_N.sum()),
        "n_certified_a": int((wanted.real_B & wanted.clean_B).sum()),
        "n_certified_b": int((wanted.deployed_B & wanted.clean_B).sum()),
        "n_certified_naive": int((wanted.naive_B & wanted.clean_B).sum()),
        "n_clean": int(wanted.clean_B.sum()),
        "n_falsified": counts["falsified"],
        "n_unknown": counts["unknown"],
    }
    for name, count in recounted.items():
        if getattr(row, name) != count:
            yield f"{name} is {getattr(row, name)}, recounted {count}"
    if sum(counts.values()) != row.n or counts["misclassified"] != row.n - row.n_clean:
        yield "the statuses do not add up"


def attacked(net, pixels, x_NCHW) -> Iterator[str]:
    """A corner of the ball that leaves the class makes an image falsified, at a large eps."""
    eps = Fraction(1, 5)
    samples = evaluate(net, pixels, eps=eps, attack=Corner(), batch_size=25, quiet=True).samples
    _, upper_ND = inner_ends(x_NCHW.flatten(1).numpy(), [eps] * len(x_NCHW), clip=True)
    with torch.no_grad():
        moved_N = net(torch.from_numpy(upper_ND).reshape(x_NCHW.shape)).argmax(1)
    for sample, moved in zip(samples, moved_N.tolist(), strict=True):
        broken = sample["pred"] == sample["label"] != moved
        if broken != (sample["status"] == "falsified"):
            yield f"image {sample['index']} is {sample['status']}, under attack it is {moved}"
