"""The arithmetic that certificates are stated for: IEEE, round to nearest, no reduced precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zoo.errors import UsageError, ZooError

# Each of these makes a vendor's library round operands, whatever a program asks for.
_OVERRIDES = (
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_EMULAT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
)
_HARMLESS = ("", "0", "STRICT")
_DEVICES = ("cpu", "cuda", "mps", "xpu")
# Elements that torch gives to a thread before it asks another one (at::internal::GRAIN_SIZE).
_GRAIN = 2**15


def _precisions() -> dict[str, Any]:
    """All that has an fp32_precision in torch; the general one first, as it resets the others."""
    backends: Any = torch.backends
    return {
        "general": backends,
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
        "mkldnn.rnn": backends.mkldnn.rnn,
    }


def snapshot() -> dict[str, Any]:
    """The settings that decide how torch rounds, as they are on this thread, for the record."""
    return {
        "fp32_precision": {name: owner.fp32_precision for name, owner in _precisions().items()},
        "autocast": any(map(torch.is_autocast_enabled, _DEVICES)),
        "cudnn": bool(torch.backends.cudnn.enabled),
        "round_to_nearest": _rounds_to_nearest(),
        "subnormals": _keeps_subnormals(),
        "environment": sorted(
            f"{key}={value}" for key, value in os.environ.items() if key.startswith(_OVERRIDES)
        ),
    }


@contextmanager
def strict_numerics() -> Iterator[dict[str, Any]]:
    """Run with IEEE float32 and float64 only, then restore what was set before.

    cuDNN and NNPACK are off, as they may convolve by Winograd's algorithm, which no bound on a sum
    of products covers.

    Yields:
        The settings it runs under, as `snapshot` gives them; they are the same at the end.

    Raises:
        UsageError: inside autocast, under another rounding direction, where worker threads flush
            subnormals, or the environment forces reduced precision: what nothing can undo here.
        ZooError: a setting changed while certifying.
    """
    before = {name: owner.fp32_precision for name, owner in _precisions().items()}
    flushed, cudnn = not _keeps_subnormals(), torch.backends.cudnn.enabled
    _refuse(snapshot())
    try:
        for owner in _precisions().values():
            owner.fp32_precision = "ieee"
        # SOUND: subnormals are kept, so that a - b > 0 if and only if a > b.
        torch.set_flush_denormal(False)
        torch.backends.cudnn.enabled = False
        with torch.backends.nnpack.flags(enabled=False):
            if not _keeps_subnormals(_for_all_threads()):
                raise UsageError(
                    "cannot certify: worker threads of torch turn subnormals into 0\n"
                    "  they began under torch.set_flush_denormal(True): start again without it"
                )
            entered = snapshot()
            yield entered
            if snapshot() != entered:
                raise ZooError(f"rounding settings changed while certifying: {snapshot()}")
    finally:
        for name, owner in _precisions().items():
            owner.fp32_precision = before[name]
        torch.backends.cudnn.enabled = cudnn
        torch.set_flush_denormal(flushed)


def _refuse(found: dict[str, Any]) -> None:
    if found["autocast"]:
        raise UsageError("cannot certify under autocast: leave torch.autocast first")
    if not found["round_to_nearest"]:
        raise UsageError(
            "cannot certify: a thread does not round to nearest\n"
            "  some library changed the rounding direction: set it back with fesetround"
        )
    forced = [
        entry for entry in found["environment"] if entry.partition("=")[2].upper() not in _HARMLESS
    ]
    if forced:
        raise UsageError(
            f"cannot certify: the environment forces reduced precision ({', '.join(forced)})\n"
            "  unset it and start again"
        )


def _for_all_threads() -> int:
    """So many elements that torch's worker threads, which have settings of their own, take part."""
    return torch.get_num_threads() * _GRAIN


def _keeps_subnormals(count: int = 1) -> bool:
    """Whether arithmetic keeps subnormals, on this thread or all; torch has no way to ask."""
    numbers = torch.ones(count, dtype=torch.float64)
    # Some for each thread: arithmetic with them is slow. From torch, as Python may have computed a
    # constant of its own under other settings.
    numbers[:: _GRAIN // 8] = torch.finfo(torch.float64).tiny
    return bool((numbers * 0.5).amin() != 0)


def _rounds_to_nearest() -> bool:
    """Whether 1 plus a quarter of its last place is 1 and plus three quarters is not.

    Rounding up fails the first, rounding down or towards 0 the second.
    """
    for dtype in (torch.float32, torch.float64):
        unit = torch.finfo(dtype).eps
        one = torch.ones(_for_all_threads(), dtype=dtype)
        if (one + unit / 4).amax() != 1 or (one + 3 * unit / 4).amin() == 1:
            return False
    return True
