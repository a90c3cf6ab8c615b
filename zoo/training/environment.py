"""The code, the libraries and the machine that a run started on: bits may depend on each."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

import accelerate
import timm
import torch
from accelerate import Accelerator

from zoo.ops.native import describe
from zoo.version import __version__, source_commit

# What may change the last bit of a sum: a resumed run that differs in one of these says so.
_DECISIVE = (
    "commit",
    "torch",
    "device",
    "processor",
    "processes",
    "threads",
    "ops",
    "teacher_sha256",
)


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """Facts for the run folder, as JSON holds them."""
    device = accelerator.device
    on_gpu = device.type == "cuda"
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "zoo": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "accelerate": accelerate.__version__,
        "device": device.type,
        "processor": torch.cuda.get_device_name(device) if on_gpu else cpu_name(),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "ops": "torch reference" if on_gpu else describe(),
        "system": platform.platform(),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is no longer as it was, of all that may change the last bit of a result."""
    return [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in _DECISIVE
        if before.get(key) != now.get(key)
    ]


def cpu_name() -> str:
    """Model of the processor, as the system calls it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
