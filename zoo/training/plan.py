"""What a run is about to do, and how long it will take: said before, and measured on the way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch

# The first step pays for what later ones find ready.
_WARM_UP_STEPS = 1
_MEASURED_STEPS, _MEASURED_SECONDS = 20, 5.0


@dataclass(frozen=True)
class Plan:
    """The size of a run.

    Attributes:
        data: dataset and split.
        parameters: of the model.
        epochs, steps_per_epoch, batch_size: batch_size is global.
        machine: processes and their device.
        done: steps that earlier starts took.
    """

    data: str
    images: int
    model: str
    parameters: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    machine: str
    folder: str
    done: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    def __str__(self) -> str:
        lines = {
            "data": f"{self.data}, {self.images:,} images",
            "model": f"{self.model}, {self.parameters:,} parameters",
            "steps": f"{self.epochs} epochs x {self.steps_per_epoch} = {self.steps:,}, "
            f"batch {self.batch_size}",
            "on": self.machine,
            "into": self.folder,
        }
        if self.done:
            lines["resumed"] = f"after step {self.done:,}, {self.steps - self.done:,} to go"
        return "\n".join(["plan", *(f"  {key:8}{text}" for key, text in lines.items())])


class Pace:
    """Times the first steps and says once what the rest will cost.

    Args:
        steps_left: steps that this start has to take.
        say: prints a line.
    """

    def __init__(self, steps_left: int, device: torch.device, say: Callable[[str], None]):
        self._left, self._device, self._say = steps_left, device, say
        self._taken, self._start, self._said = 0, 0.0, False

    def step(self) -> None:
        """One more step was taken."""
        if self._said:
            return
        self._taken += 1
        if self._taken == _WARM_UP_STEPS:
            self._start = time.monotonic()
            return
        timed, seconds = self._taken - _WARM_UP_STEPS, time.monotonic() - self._start
        if timed >= _MEASURED_STEPS or seconds >= _MEASURED_SECONDS:
            self._said = True
            a_step = seconds / timed
            left = timedelta(seconds=round(a_step * (self._left - self._taken)))
            self._say(
                f"  measured {_duration(a_step)} a step, {left} to go without validation, "
                f"{_peak_bytes(self._device) / 2**20:,.0f} MiB at most so far"
            )


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _peak_bytes(device: torch.device) -> int:
    """Largest memory in use so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # not a Unix
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
