"""Strict arithmetic is in force inside a bound, whatever was set before, which comes back after."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch

from soundness.asking import FIRST, ONE_PIXEL, Planted, points_net
from zoo.certification import Certifier

TINY = 2.0**-1060
KINDS = ("matmul", "conv", "rnn")


def hunt() -> Iterator[str]:
    backends: Any = torch.backends
    # The general one first: it resets the others.
    owners = [backends, backends.cuda.matmul]
    owners += [
        getattr(of, name)
        for of in (backends.cudnn, backends.mkldnn)
        for name in KINDS
        if hasattr(of, name)
    ]
    before = [owner.fp32_precision for owner in owners]
    torch.set_flush_denormal(True)
    for owner in owners:
        owner.fp32_precision = "tf32"
    outer = settings()
    try:
        for fails in (False, True):
            yield from inside(fails)
            if settings() != outer:
                yield f"what was set before is not restored: {settings()}, not {outer}"
    finally:
        torch.set_flush_denormal(False)
        for owner, precision in zip(owners, before, strict=True):
            owner.fp32_precision = precision


def settings() -> dict[str, Any]:
    """As torch tells them, not as the package does."""
    backends = torch.backends
    matmul, conv, mkldnn = backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn
    found = {
        "general": backends.fp32_precision,
        "matmul": matmul.fp32_precision,
        "conv": conv.fp32_precision,
        "rnn": backends.cudnn.rnn.fp32_precision,
        "mkldnn matmul": mkldnn.matmul.fp32_precision,
        "mkldnn conv": mkldnn.conv.fp32_precision,
    }
    subnormals = (torch.tensor(TINY, dtype=torch.float64) * 1).item() != 0
    return found | {"subnormals": subnormals, "cudnn": backends.cudnn.enabled}


def inside(fails: bool) -> Iterator[str]:
    seen: list[dict[str, Any]] = []

    def look() -> None:
        seen.append(settings())
        if fails:
            raise ArithmeticError("planted")

    good_BK = torch.tensor([[0.0, 0.5]])
    certifier = Certifier(points_net(0, 0.5), "lipschitz")
    certifier.bound = Planted(good_BK, good_BK, good_BK, look)
    try:
        (certificate,) = certifier(ONE_PIXEL, FIRST, [Fraction(1, 8)])
    except ArithmeticError:
        certificate = None
    for found in seen:
        reduced = {key: value for key, value in found.items() if value in ("tf32", "bf16", "none")}
        if reduced or not found["subnormals"] or found["cudnn"]:
            yield f"a bound runs with {found}"
    if certificate is None:
        return
    record = certificate.numerics
    if set(record["fp32_precision"].values()) != {"ieee"}:
        yield f"the record says {record['fp32_precision']}"
    if not record["subnormals"] or record["autocast"] or not record["round_to_nearest"]:
        yield f"the record says {record}"
