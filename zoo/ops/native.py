"""Native kernels: chosen by ZOO_OPS, built on first use, loaded behind the ops of this package.

ZOO_OPS=auto (default) uses them where they can be built and the torch reference elsewhere; torch
never uses them; native makes their absence an error. Those for CUDA are used if native asks for
them: what no GPU has run must not be what a certificate rests on unasked.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from zoo.errors import UsageError, ZooError
from zoo.ops import build, build_cuda

_lock = threading.Lock()


@dataclass
class _Kernels:
    """Those of one kind of device, and whether this process has them.

    Attributes:
        build: makes the library, or finds it.
        kind: what they were built for.
        tried: whether they have run on such a device, and are used unasked.
        loaded: the library, once it is there.
        missing: why there are none, once that is known.
    """

    build: Callable[[], Path]
    kind: Callable[[], str]
    tried: bool
    loaded: Path | None = field(default=None, init=False)
    missing: str | None = field(default=None, init=False)


_KERNELS = {
    "cpu": _Kernels(build.build, build.instruction_set, tried=True),
    "cuda": _Kernels(build_cuda.build, build_cuda.architecture, tried=False),
}


def choice() -> str:
    """What ZOO_OPS asks for.

    Raises:
        UsageError: it is none of auto, torch and native.
    """
    asked = os.environ.get("ZOO_OPS") or "auto"
    if asked not in ("auto", "torch", "native"):
        raise UsageError(f"ZOO_OPS must be auto, torch or native, got {asked!r}")
    return asked


def load(device: str = "cpu") -> bool:
    """Load a device's kernels, building them if this machine has not yet: whether they are there.

    From the first call on, a process uses one and the same kernels.

    Args:
        device: "cpu" or "cuda"; there are none for others.

    Raises:
        UsageError: ZOO_OPS, ZOO_ISA or ZOO_CUDA_ARCH holds what it may not.
        ZooError: ZOO_OPS=native, and they cannot be built.
    """
    asked, kernels = choice(), _KERNELS.get(device)
    if kernels is None:
        return False
    with _lock:
        if kernels.loaded is None and kernels.missing is None:
            _load(kernels, asked)
        if kernels.loaded is None and asked == "native":
            raise ZooError(f"ZOO_OPS=native, but there are no native kernels: {kernels.missing}")
        return kernels.loaded is not None


def _load(kernels: _Kernels, asked: str) -> None:
    """Set what is loaded or why not; a wrong setting is no lack of kernels, and sets neither."""
    if asked == "torch":
        kernels.missing = "ZOO_OPS=torch"
        return
    if asked == "auto" and not kernels.tried:
        kernels.missing = "no GPU has tried its kernels yet, ZOO_OPS=native would"
        return
    try:
        path = kernels.build()
        torch.ops.load_library(str(path))
        kernels.loaded = path
    except UsageError:
        raise
    except (ZooError, OSError) as error:
        kernels.missing = str(error)
        if asked == "auto":
            warnings.warn(
                f"no native kernels, the ops run on the torch reference: {kernels.missing}\n"
                "  ZOO_OPS=torch accepts that without this warning",
                RuntimeWarning,
                stacklevel=3,
            )


def describe(device: str = "cpu") -> str:
    """What the ops run on in this process, or would.

    "native (avx512)", "torch reference (why)", or "none (why)" where ZOO_OPS=native asks in vain.
    """
    kernels = _KERNELS[device]
    try:
        loaded = load(device)
    except UsageError:
        raise
    except ZooError:
        loaded = False
    if loaded:
        return f"native ({kernels.kind()})"
    why = (kernels.missing or "").partition("\n")[0]  # without what a compiler printed
    return f"none ({why})" if choice() == "native" else f"torch reference ({why})"
