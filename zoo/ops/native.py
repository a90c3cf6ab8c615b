"""Native kernels: chosen by ZOO_OPS, built on first use, loaded behind the ops of this package.

ZOO_OPS=auto (default) uses them where they can be built and the torch reference elsewhere; torch
never uses them; native makes their absence an error.
"""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

import torch

from zoo.errors import UsageError, ZooError
from zoo.ops.build import build, instruction_set

_lock = threading.Lock()
_loaded: Path | None = None
_missing: str | None = None  # why there are none, once that is known


def choice() -> str:
    """What ZOO_OPS asks for.

    Raises:
        UsageError: it is none of auto, torch and native.
    """
    asked = os.environ.get("ZOO_OPS") or "auto"
    if asked not in ("auto", "torch", "native"):
        raise UsageError(f"ZOO_OPS must be auto, torch or native, got {asked!r}")
    return asked


def load() -> bool:
    """Load the CPU kernels, building them if this machine has not yet: whether they are there.

    From the first call on, a process uses one and the same kernels.

    Raises:
        UsageError: ZOO_OPS or ZOO_ISA holds what it may not.
        ZooError: ZOO_OPS=native, and they cannot be built.
    """
    asked = choice()
    with _lock:
        if _loaded is None and _missing is None:
            _load(asked)
        if _loaded is None and asked == "native":
            raise ZooError(f"ZOO_OPS=native, but there are no native kernels: {_missing}")
        return _loaded is not None


def _load(asked: str) -> None:
    """Set one of _loaded and _missing; a wrong ZOO_ISA is no lack of kernels, and sets neither."""
    global _loaded, _missing
    if asked == "torch":
        _missing = "ZOO_OPS=torch"
        return
    try:
        path = build()
        torch.ops.load_library(str(path))
        _loaded = path
    except UsageError:
        raise
    except (ZooError, OSError) as error:
        _missing = str(error)
        if asked == "auto":
            warnings.warn(
                f"no native kernels, the ops run on the torch reference: {_missing}\n"
                "  ZOO_OPS=torch accepts that without this warning",
                RuntimeWarning,
                stacklevel=3,
            )


def describe() -> str:
    """What the ops run on in this process, or would.

    "native (avx512)", "torch reference (why)", or "none (why)" where ZOO_OPS=native asks in vain.
    """
    try:
        loaded = load()
    except UsageError:
        raise
    except ZooError:
        loaded = False
    if loaded:
        return f"native ({instruction_set()})"
    why = (_missing or "").partition("\n")[0]  # without what a compiler printed
    return f"none ({why})" if choice() == "native" else f"torch reference ({why})"
