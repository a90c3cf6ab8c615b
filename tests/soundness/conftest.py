"""A bug that is planted in arithmetic goes with its test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from zoo.rounding import snapshot
from zoo.rounding.strict import _precisions


@pytest.fixture(autouse=True)
def arithmetic() -> Iterator[None]:
    """The settings that decide how torch rounds, as they were before."""
    before = snapshot()
    yield
    gc.collect()  # what a planted bug kept open restores its own idea of them
    torch.set_flush_denormal(not before["subnormals"])
    torch.backends.cudnn.enabled = before["cudnn"]
    for name, owner in _precisions().items():
        owner.fp32_precision = before["fp32_precision"][name]
    assert snapshot() == before
