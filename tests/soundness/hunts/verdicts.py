"""Verdicts where the answer is known by construction: ties, NaN, A without B, wrong labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from soundness.asking import BOUNDS, FIRST, ONE_PIXEL, Planted, points_net
from soundness.nets import predictions, random_images, random_net
from zoo.certification import Certificate, Certifier, certify
from zoo.errors import ZooError

QUARTER = Fraction(1, 4)
TEXTS = ("8/255", "2/255", "0.3", "0.1", "1/3")


def hunt() -> Iterator[str]:
    yield from ties()
    yield from spelled()
    yield from planted_margins()
    yield from errors()
    yield from labels()
    yield from radii()


def ties() -> Iterator[str]:
    for bound in BOUNDS:
        if certify(points_net(0, 0.5), ONE_PIXEL, FIRST, QUARTER, bound=bound).certified_B.any():
            yield f"{bound}: a margin of exactly 2 eps is certified"
        for label in (0, 1):
            tied = certify(points_net(0, 0), ONE_PIXEL, torch.tensor([label]), 0, bound=bound)
            if tied.certified_B.any() or tied.clean_B.any() or tied.preds_B.item() != -1:
                yield f"{bound}: equal logits count as class {label}"


def spelled() -> Iterator[str]:
    """Nets whose radius lies one float below an eps, and a little above it."""
    for text in TEXTS:
        twice = np.float32(float(2 * Fraction(text)))
        while Fraction(float(twice)) >= 2 * Fraction(text):
            twice = np.nextafter(twice, np.float32(0))
        for bound in BOUNDS:
            below = certify(points_net(0, float(twice)), ONE_PIXEL, FIRST, text, bound=bound)
            if below.certified_B.any() or below.eps != Fraction(text):
                yield f"{bound}: certified at {text}, but the exact radius is less"
            above = points_net(0, float(twice) * 1.00001)
            if not certify(above, ONE_PIXEL, FIRST, text, bound=bound).certified_B.all():
                yield f"{bound}: not certified at {text}, but the radius is 1.00001 times that"


def planted_margins() -> Iterator[str]:
    net, nan = points_net(0, 0.5, 0.7, 0.9), math.nan
    good = torch.tensor([[0.0, 0.3, 0.4, 0.5]])
    bad = [good.clone().index_fill_(1, torch.tensor([k]), v) for k in (1, 2, 3) for v in (-1, 0)]
    bad += [good.clone().index_fill_(1, torch.tensor([k]), nan) for k in (1, 2, 3)]
    bad += [torch.full_like(good, nan)]
    if not _verdict(good, good, good).certified_B.all():
        yield "positive margins are not certified"
    if _verdict(-good, good, good).naive_B.any() or not _verdict(-good, good, good).certified_B:
        yield "the naive bound decides what is certified"
    for margins_BK in bad:
        for a, b in ((margins_BK, good), (good, margins_BK), (margins_BK, margins_BK)):
            if _certified(_verdict(good, a, b, net)):
                yield f"certified, with margins A {a.tolist()} and B {b.tolist()}"


def _verdict(naive: Tensor, real: Tensor, deployed: Tensor, net=None) -> Certificate:
    certifier = Certifier(net or points_net(0, 0.5, 0.7, 0.9), "lipschitz")
    certifier.bound = Planted(naive, real, deployed)
    return certifier(ONE_PIXEL, FIRST, [QUARTER])[0]


def _certified(certificate: Certificate) -> bool:
    """By any of the two ways in which it is told."""
    status = certificate.status(torch.zeros_like(certificate.clean_B))
    return bool(certificate.certified_B.any()) or "certified" in status


def errors() -> Iterator[str]:
    def fail() -> None:
        raise ArithmeticError("planted")

    good = torch.tensor([[0.0, 0.3, 0.4, 0.5]])
    certifier = Certifier(points_net(0, 0.5, 0.7, 0.9), "lipschitz")
    certifier.bound = Planted(good, good, good, fail)
    try:
        certifier(ONE_PIXEL, FIRST, [QUARTER])
    except ArithmeticError:
        return
    yield "an error inside the bound became a verdict"


def labels() -> Iterator[str]:
    for kind, bound in (("folded", "lipschitz"), ("relu", "interval")):
        net, x_BCHW = random_net(kind, 0), random_images(0, 32)
        y_B = predictions(net, x_BCHW)
        for shift in (0, 1, 2):
            wrong_B = (y_B + shift) % 3
            try:
                certificate = certify(net, x_BCHW, wrong_B, "0.001", bound=bound)
            except ZooError as error:
                yield f"{kind}: {error}"
                continue
            if (certificate.certified_B & (y_B != wrong_B)).any():
                yield f"{kind}: certified for a class that the net does not give"
            if not torch.equal(certificate.labels_B, wrong_B):
                yield f"{kind}: the certificate has other labels than those given"


def radii() -> Iterator[str]:
    net, x_BCHW = random_net("normalized", 1), random_images(1, 6)
    certifier, y_B = Certifier(net, "lipschitz"), predictions(net, x_BCHW)
    radius_B = certifier(x_BCHW, y_B, [QUARTER])[0].radius_B
    assert radius_B is not None
    at = [Fraction(radius) for radius in radius_B.tolist()]
    beyond = [eps * Fraction(10001, 10000) + Fraction(1, 10**7) for eps in at]
    for i, (inside, outside) in enumerate(
        zip(certifier(x_BCHW, y_B, at), certifier(x_BCHW, y_B, beyond), strict=True)
    ):
        if bool(outside.certified_B[i]) or not (at[i] == 0 or bool(inside.certified_B[i])):
            yield f"{float(at[i])} is not the largest eps that image {i} is certified at"
