"""Cutting an op over (B, O, I) into blocks, so that memory does not grow with B * I * O.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.errors import UsageError

# Elements of the (b, o, I) difference that one block may hold: about what a CPU's second-level
# cache keeps (larger was slower), and enough to fill a GPU.
_BLOCK_ELEMENTS = {"cpu": 2**20, "cuda": 2**26}


def blocks(x_BI: Tensor, w_OI: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices (b, o) that tile B x O, each small enough for its I-wide difference to be held."""
    (num_b, num_i), num_o = x_BI.shape, w_OI.shape[0]
    pairs = max(1, _BLOCK_ELEMENTS.get(x_BI.device.type, 2**20) // max(1, num_i))
    step_o = min(num_o, pairs)
    step_b = max(1, pairs // max(1, step_o))
    for b in range(0, num_b, step_b):
        for o in range(0, num_o, max(1, step_o)):
            yield slice(b, b + step_b), slice(o, o + step_o)


def difference(x_bI: Tensor, w_oI: Tensor) -> Tensor:
    """x_b - w_o for all pairs, shape (b, o, I): one rounded subtraction each."""
    return x_bI[:, None, :] - w_oI[None, :, :]


def sign(difference: Tensor) -> Tensor:
    """Sign of each difference, and NaN where it is NaN: torch's own sign of NaN is 0."""
    return torch.where(difference.isnan(), difference, difference.sign())


def check_operands(op: str, *inputs_BI: Tensor, w_OI: Tensor) -> None:
    """Refuse operands that no distance is defined for, before a kernel sees them."""
    if len({x_BI.shape for x_BI in inputs_BI}) > 1:
        raise UsageError(f"{op}: inputs differ in shape: {[tuple(x.shape) for x in inputs_BI]}")
    for x_BI in inputs_BI:
        if x_BI.ndim != 2 or w_OI.ndim != 2 or x_BI.shape[1] != w_OI.shape[1]:
            raise UsageError(
                f"{op}: needs x of shape (B, I) and w of shape (O, I), "
                f"got {tuple(x_BI.shape)} and {tuple(w_OI.shape)}"
            )
        # Under autocast the dispatcher casts both to float32 after this check.
        agree = x_BI.dtype == w_OI.dtype or (
            torch.float64 not in (x_BI.dtype, w_OI.dtype)
            and torch.is_autocast_enabled(x_BI.device.type)
        )
        if not agree or x_BI.device != w_OI.device:
            raise UsageError(
                f"{op}: x is {x_BI.dtype} on {x_BI.device}, w is {w_OI.dtype} on {w_OI.device}; "
                "both must agree"
            )
        if not x_BI.is_floating_point():
            raise UsageError(f"{op}: needs floating-point tensors, got {x_BI.dtype}")
    if w_OI.shape[1] == 0:
        raise UsageError(f"{op}: a distance over no features is undefined (I = 0)")


def keep_float32_under_autocast(op: Any) -> None:
    """Distances in half precision lose what a certificate needs: autocast casts them to float32."""
    for device in ("cpu", "cuda"):
        op.register_autocast(device, torch.float32)
