"""Batches that halve where memory runs out: a smaller machine is slower, and finds the same.

Shapes: B batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from zoo.errors import UsageError, ZooError

T = TypeVar("T")

# What accelerate does not know: CUDA's own words where an allocation outside of torch's allocator
# fails, a library's workspace, and C++ code that torch passes on as it is.
_MORE_TEXTS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "std::bad_alloc")


def in_batches(
    n: int, batch_size: int, work: Callable[[Tensor], T], *, quiet: bool = False
) -> Iterator[tuple[Tensor, T]]:
    """Work on the indices 0 .. n-1 in order, in batches that halve where memory runs out.

    Where `work` runs out of memory, what it had is thrown away, and the same images and all others
    go through it in batches half as large. Each index is yielded once, so the results are those of
    an undisturbed pass wherever `work` treats each image by itself.

    Args:
        n: how many images.
        batch_size: images at a time, to begin with.
        work: called with idx_B, int64 on the CPU; a call that fails must leave nothing behind.
        quiet: do not say on stderr that a batch was halved.

    Yields:
        idx_B and what `work` made of it.

    Raises:
        UsageError: batch_size is less than 1.
        ZooError: memory runs out with a single image.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    start = 0
    while start < n:
        idx_B = torch.arange(start, min(start + batch_size, n))
        try:
            result = work(idx_B)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if len(idx_B) == 1:
                raise _no_smaller(start, error) from error
        else:
            start += len(idx_B)
            yield idx_B, result
            continue
        # Only here: up to the end of the except clause the error's traceback keeps every tensor of
        # the failed call alive.
        clear_device_cache(garbage_collection=True)
        # Half of what failed, which the last batch may have been much smaller than batch_size.
        batch_size = len(idx_B) // 2
        if not quiet:
            line = f"out of memory with {len(idx_B)} images at a time: going on with {batch_size}"
            print(line, file=sys.stderr)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device: a smaller batch may pass."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    # As text: accelerate asks only errors of one argument, and fails on one that is no string.
    text = str(error)
    return should_reduce_batch_size(RuntimeError(text)) or any(word in text for word in _MORE_TEXTS)


def _no_smaller(index: int, error: Exception) -> ZooError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ZooError(
        f"out of memory with a batch of one image (index {index}): {reason}\n"
        "  the model with one image needs more memory than is free: end other programs, take a\n"
        "  device that has more, or a narrower model"
    )
