"""The arithmetic that certificates are stated for: IEEE, round to nearest, no reduced precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zoo.errors import UsageError, ZooError


def _precisions() -> list[Any]:
    """All that has an fp32_precision in torch; the general one first, as it resets the others."""
    backends: Any = torch.backends
    return [
        backends,
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
        backends.mkldnn.rnn,
    ]


def snapshot() -> dict[str, Any]:
    """The settings that decide how torch rounds."""
    return {
        "fp32_precision": [owner.fp32_precision for owner in _precisions()],
        "autocast": torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"),
    }


@contextmanager
def strict_numerics() -> Iterator[None]:
    """Run with IEEE float32 and float64 only, then restore what was set before.

    Raises:
        UsageError: inside autocast, whose casts nothing can undo here.
        ZooError: a setting changed while certifying.
    """
    if snapshot()["autocast"]:
        raise UsageError("cannot certify under autocast: leave torch.autocast first")
    before, flushed = [owner.fp32_precision for owner in _precisions()], _flushes_subnormals()
    try:
        for owner in _precisions():
            owner.fp32_precision = "ieee"
        # SOUND: subnormals are kept, so that a - b > 0 if and only if a > b.
        torch.set_flush_denormal(False)
        with torch.backends.nnpack.flags(enabled=False):
            entered = snapshot()
            yield
            if snapshot() != entered:
                raise ZooError(f"rounding settings changed while certifying: {snapshot()}")
    finally:
        for owner, precision in zip(_precisions(), before, strict=True):
            owner.fp32_precision = precision
        torch.set_flush_denormal(flushed)


def _flushes_subnormals() -> bool:
    """Whether arithmetic on this thread turns subnormals into 0; torch has no way to ask."""
    return (torch.tensor(2.0**-1060, dtype=torch.float64) * 1).item() == 0
