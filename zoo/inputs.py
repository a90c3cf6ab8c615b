"""What may go into a model, images in pixel units and labels, and what has to come out of it.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import UsageError, ZooError


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


def check_model(model: object) -> None:
    """Refuse what is no net: a name, a function."""
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"the model is a {type(model).__name__}, not a torch.nn.Module\n"
            "  zoo.load(name) gives a published one"
        )


def check_batch(model: nn.Module, x_BCHW: Tensor, y_B: Tensor) -> None:
    """Refuse images or labels that do not fit the model.

    Raises:
        UsageError: what does not fit, and what would.
    """
    check_model(model)
    for what, given in (("images", x_BCHW), ("labels", y_B)):
        if not isinstance(given, Tensor) or given.layout != torch.strided:
            raise UsageError(
                f"{what} must be a dense torch tensor, not a {type(given).__name__}\n"
                "  torch.as_tensor makes one of an array or a list"
            )
    check_pixels(x_BCHW)
    wanted = getattr(model, "input_shape", None)
    if wanted is not None and tuple(x_BCHW.shape[1:]) != tuple(wanted):
        raise UsageError(
            f"the model takes images of shape {tuple(wanted)}, got {tuple(x_BCHW.shape[1:])}"
        )
    if next(model.parameters(), None) is None:
        raise UsageError(f"{type(model).__name__} has no parameters: there is nothing to certify")
    check_alike(model, x_BCHW)
    check_labels(y_B, x_BCHW, getattr(model, "num_classes", None))


def check_alike(model: nn.Module, x_BCHW: Tensor) -> None:
    """Refuse images of another dtype, or on another device, than the model's weights."""
    weight = next(model.parameters(), x_BCHW)
    if (x_BCHW.dtype, x_BCHW.device) != (weight.dtype, weight.device):
        raise UsageError(
            f"the model is {weight.dtype} on {weight.device}, "
            f"the images are {x_BCHW.dtype} on {x_BCHW.device}"
        )


def check_labels(y_B: Tensor, of_B: Tensor, num_classes: int | None) -> None:
    """Refuse labels that do not fit a batch, or that name none of its classes.

    Args:
        of_B: images or logits: any tensor with the batch first.
        num_classes: K, where it is known.
    """
    if y_B.shape != of_B.shape[:1] or y_B.dtype != torch.int64 or y_B.device != of_B.device:
        raise UsageError(
            f"labels must be int64 of shape ({len(of_B)},) on {of_B.device}, "
            f"got {y_B.dtype} of shape {tuple(y_B.shape)} on {y_B.device}"
        )
    # SOUND: torch counts a label of -1 from the last class on, and margins would be another's.
    if num_classes is not None and bool(((y_B < 0) | (y_B >= num_classes)).any()):
        least, most = int(y_B.min()), int(y_B.max())
        raise UsageError(f"labels must lie in 0..{num_classes - 1}, got {least}..{most}")


def classes_of(shape: Sequence[int]) -> int:
    """K of logits (B, K).

    Raises:
        UsageError: logits of another shape, or of less than two classes.
    """
    if len(shape) != 2:
        raise UsageError(
            f"logits must have shape (B, K), one row an image; the net's have {_shown(shape)}\n"
            "  let it end by nn.Flatten() and nn.Linear(..., K), say"
        )
    if shape[1] < 2:
        raise UsageError(
            f"the net's logits have shape {_shown(shape)}: margins need two classes or more\n"
            "  give a net of two classes two logits, (0, f) in place of f"
        )
    return shape[1]


@contextmanager
def fitting(net: nn.Module, inputs: Sequence[Tensor], images: Tensor) -> Iterator[None]:
    """Where torch fails as inputs do not fit a net, or one layer of it, say which layer and why.

    Args:
        inputs: what the net or the layer is given.
        images: what they were made of.

    Raises:
        UsageError: in place of torch's error if one image fails as well, by itself; memory that
            runs out, say, is another matter and passes on.
    """
    try:
        yield
    except ZooError:
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        found = _failing(net, inputs)
        if found is None:
            raise
        layer, given = found
        came = " and ".join(f"{x.dtype} of shape {_shown(x.shape)}" for x in given)
        raise UsageError(
            f"images of shape {_shown(images.shape)} do not fit the net: its layer "
            f"{str(layer).splitlines()[0]} was given {came}\n"
            f"  torch says: {str(error).strip().splitlines()[0]}\n"
            "  give images of the size and dtype that the net was made for"
        ) from error


def logits_of(model: nn.Module, x_BCHW: Tensor) -> Tensor:
    """What a model makes of images.

    Raises:
        UsageError: images that do not fit it.
    """
    with fitting(model, [x_BCHW], x_BCHW):
        return model(x_BCHW)


def _failing(net: nn.Module, inputs: Sequence[Tensor]) -> tuple[nn.Module, list[Tensor]] | None:
    """The innermost layer that fails on the first image alone, and what it is given."""
    inside: list[tuple[nn.Module, Any]] = []

    def leave(*_: Any) -> None:
        inside.pop()

    try:
        twin = copy.deepcopy(net).eval()  # which counts nothing in any statistics
        for layer in twin.modules():
            layer.register_forward_pre_hook(lambda layer, given: inside.append((layer, given)))
            layer.register_forward_hook(leave)
        with torch.no_grad():
            twin(*(x[:1] for x in inputs))
    except (RuntimeError, ValueError, IndexError):
        if inside:
            layer, given = inside[-1]
            return layer, [x for x in given if isinstance(x, Tensor)]
    return None


def _shown(shape: Sequence[int]) -> str:
    return f"({', '.join(['B', *map(str, shape[1:])])})"
