"""What may go into a model: images in pixel units and labels, checked before anything is computed.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import UsageError


def check_pixels(x_BCHW: Tensor) -> None:
    """Refuse what is not a batch of images in pixel units."""
    if not x_BCHW.is_floating_point():
        raise UsageError(
            f"images are {x_BCHW.dtype}; give float32 or float64 pixels in [0, 1] "
            "(8-bit images: divide by 255)"
        )
    if x_BCHW.ndim != 4:
        raise UsageError(f"images must have shape (B, C, H, W), got {tuple(x_BCHW.shape)}")
    # SOUND: written so that a NaN fails the test.
    if not ((x_BCHW >= 0) & (x_BCHW <= 1)).all():
        what = "hold NaN" if x_BCHW.isnan().any() else "leave [0, 1]"
        raise UsageError(
            f"pixels {what}: raw pixels in [0, 1] are expected\n"
            "  normalisation is part of the model: do not normalise images before it"
        )


def check_batch(model: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> None:
    """Refuse images or labels that do not fit the model.

    Raises:
        UsageError: what does not fit, and what would.
    """
    check_pixels(x_BCHW)
    wanted = getattr(model, "input_shape", None)
    if wanted is not None and tuple(x_BCHW.shape[1:]) != tuple(wanted):
        raise UsageError(
            f"the model takes images of shape {tuple(wanted)}, got {tuple(x_BCHW.shape[1:])}"
        )
    weight = next(model.parameters(), None)
    if weight is None:
        raise UsageError(f"{type(model).__name__} has no parameters: there is nothing to certify")
    if (x_BCHW.dtype, x_BCHW.device) != (weight.dtype, weight.device):
        raise UsageError(
            f"the model is {weight.dtype} on {weight.device}, "
            f"the images are {x_BCHW.dtype} on {x_BCHW.device}"
        )
    if y_B.shape != x_BCHW.shape[:1] or y_B.dtype != torch.int64 or y_B.device != x_BCHW.device:
        raise UsageError(
            f"labels must be int64 of shape ({len(x_BCHW)},) on {x_BCHW.device}, "
            f"got {y_B.dtype} of shape {tuple(y_B.shape)} on {y_B.device}"
        )
    classes = getattr(model, "num_classes", None)
    if classes is not None and bool(((y_B < 0) | (y_B >= classes)).any()):
        raise UsageError(f"labels must lie in 0..{classes - 1}")
