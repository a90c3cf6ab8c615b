"""Gradients inside bounds and attacks, whatever mode torch is in around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from zoo.errors import UsageError


@contextmanager
def recording(what: str) -> Iterator[None]:
    """Compute with a graph, as under torch.enable_grad().

    Args:
        what: what needs it, for the message.

    Raises:
        UsageError: inference mode, in which nothing has a graph, and whose tensors never can.
    """
    if torch.is_inference_mode_enabled():
        raise UsageError(
            f"{what} needs gradients, which torch.inference_mode() rules out\n"
            "  use torch.no_grad() in its place; zoo.certify may run under both"
        )
    with torch.enable_grad():
        yield
