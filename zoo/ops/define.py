"""How an op comes to its implementations: a torch reference here, native kernels behind it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import torch

from zoo.errors import UsageError
from zoo.ops import native


def zoo_op(
    name: str, devices: Collection[str] = ("cpu", "cuda")
) -> Callable[[Callable[..., Any]], Any]:
    """Make a function over tensors the op ``zoo::<name>``, and its own ``zoo::<name>_reference``.

    The first call on a device loads its native kernels, which torch's dispatcher prefers from then
    on; they call the reference for what they leave to it (half precision, say).

    Args:
        devices: those that the op has kernels for.
    """

    def define(function: Callable[..., Any]) -> Any:
        schema = torch.library.infer_schema(function, mutates_args=())
        reference = torch.library.custom_op(
            f"zoo::{name}_reference", function, mutates_args=(), schema=schema
        )

        @functools.wraps(function)
        def choose(*arguments: Any) -> Any:
            # Once they are loaded, a call on the device does not get here.
            device = next(a.device.type for a in arguments if isinstance(a, torch.Tensor))
            if device in devices and native.load(device):
                return getattr(torch.ops.zoo, name)(*arguments)
            return function(*arguments)

        op = torch.library.custom_op(f"zoo::{name}", choose, mutates_args=(), schema=schema)
        _references[name] = reference  # torch forgets an op that nothing refers to
        return op

    return define


def without_gradient(op: Any, of: str) -> None:
    """Let derivatives through an op that has none be refused in plain words.

    Args:
        of: what it computes, of which layers.
    """

    def refuse(ctx: Any, *grads: Any) -> Any:
        raise UsageError(
            f"{of} have no derivative: nothing trains or searches for slopes through them\n"
            "  certify by a bound that searches for none, interval or deepz say"
        )

    op.register_autograd(refuse)


_references: dict[str, Any] = {}
