"""How an op comes to its implementations: a torch reference here, native kernels behind it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from zoo.ops import native


def zoo_op(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function over tensors the op ``zoo::<name>``, and its own ``zoo::<name>_reference``.

    The first call on a CPU loads the native kernels, which torch's dispatcher prefers from then on;
    they call the reference for what they leave to it (values that are not finite, half precision).
    """

    def define(function: Callable[..., Any]) -> Any:
        schema = torch.library.infer_schema(function, mutates_args=())
        reference = torch.library.custom_op(
            f"zoo::{name}_reference", function, mutates_args=(), schema=schema
        )

        @functools.wraps(function)
        def choose(*arguments: Any) -> Any:
            # Nothing is loaded for other devices. Once loaded, a CPU call does not get here.
            on_cpu = any(isinstance(a, torch.Tensor) and a.device.type == "cpu" for a in arguments)
            if on_cpu and native.load():
                return getattr(torch.ops.zoo, name)(*arguments)
            return function(*arguments)

        op = torch.library.custom_op(f"zoo::{name}", choose, mutates_args=(), schema=schema)
        _references[name] = reference  # torch forgets an op that nothing refers to
        return op

    return define


_references: dict[str, Any] = {}
