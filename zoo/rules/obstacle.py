"""Obstacle rule: what in a layer's present state makes every certificate through it meaningless."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import nn

from zoo.errors import IntegrityError, UsageError
from zoo.inputs import check_model


@singledispatch
def obstacle(layer: nn.Module) -> str | None:
    """Reason why this layer cannot be certified as it stands, or None.

    Layers whose function depends on more than their parameters and the training flag (an exponent,
    say) register a rule; the training flag and the values of parameters are checked for all.
    """
    return None


@torch.no_grad()
def check_certifiable(model: nn.Module) -> None:
    """Refuse a model in a state in which its bounds prove nothing.

    Raises:
        UsageError: train mode, a layer's own obstacle, or tensors of several dtypes.
        IntegrityError: a weight or buffer that is not finite.
    """
    check_model(model)
    for name, layer in model.named_modules():
        where = f"layer {name or 'model'} ({type(layer).__name__})"
        if layer.training:
            raise UsageError(f"cannot certify: {where} is in train mode; call model.eval() first")
        reason = obstacle(layer) or _overwriting(layer)
        if reason is not None:
            raise UsageError(f"cannot certify: {where}: {reason}")
    dtypes = set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        dtypes.add(tensor.dtype)
        # SOUND: a NaN weight can vanish in a maximum and leave a finite, wrong margin.
        if not tensor.isfinite().all():
            raise IntegrityError(f"cannot certify: {name} holds a value that is not finite")
    if len(dtypes) > 1:
        raise UsageError(f"cannot certify: tensors of several dtypes, {sorted(map(str, dtypes))}")


def _overwriting(layer: nn.Module) -> str | None:
    # SOUND: rules take a layer's result for a new tensor, and another branch may read its input.
    if getattr(layer, "inplace", False):
        return "it overwrites its input, which no bound follows; set its inplace to False"
    return None
