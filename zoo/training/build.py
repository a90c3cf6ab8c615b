"""From a recipe's words to a model and an optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
from torch import nn

import zoo.models  # noqa: F401  (enters our architectures in timm's registry)
from zoo.data.pixels import Pixels
from zoo.errors import UsageError
from zoo.layers import LpDist, PrunedLinfDistLinear
from zoo.recipes import Recipe
from zoo.recipes.schema import ModelSpec

if TYPE_CHECKING:  # a step's teacher is built here too
    from zoo.training.step import Step


def build_model(spec: ModelSpec, data: Pixels) -> nn.Module:
    """The architecture at the data's image size, classes and normalisation, in train mode.

    A folded one comes in eval mode, in which it is trained.

    Raises:
        UsageError: arguments or images that the architecture does not take.
    """
    _, in_chans, height, width = data.x_NCHW.shape
    if height != width:
        raise UsageError(f"{spec.name} takes square images; {data.name} has {height} x {width}")
    sizes: dict[str, Any] = {
        "in_chans": in_chans,
        "img_size": height,
        "num_classes": data.num_classes,
        "mean": data.mean,
        "std": data.std,
    }
    try:
        model = timm.create_model(spec.name, **sizes | spec.arguments)
    except TypeError as error:
        raise UsageError(f"architecture {spec.name}: {error}") from None
    # A published form is trained as the function that it is: nothing in it is drawn or counted.
    return model.eval() if spec.folded else model


def check_precision(recipe: Recipe, model: nn.Module) -> None:
    """Refuse bfloat16 where it would only do harm.

    Raises:
        UsageError: a distance net; its powers and differences have no faster form in 16 bits, and
            8 bits of mantissa cannot tell its distances apart.
    """
    distances = any(isinstance(layer, LpDist) for layer in model.modules())
    if recipe.precision != "float32" and distances:
        raise UsageError(
            f"{recipe.model.name} trains in float32: distances need its digits\n"
            "  set precision: float32"
        )


def build_optimizer(step: Step, recipe: Recipe) -> torch.optim.Optimizer:
    """timm's optimiser of that name; each group's lr is the schedule's times its ``lr_share``.

    Raises:
        UsageError: there is none, or it cannot be built, stepped or resumed from recipes.
    """
    settings = recipe.optimizer
    layers = list(step.model.modules())
    weights = {id(layer.weight) for layer in layers if isinstance(layer, LpDist)}
    weights |= {id(layer.weight_E) for layer in layers if isinstance(layer, PrunedLinfDistLinear)}
    # Towards 0 is nowhere in particular for a centre of distances: see zoo.training.lp_decay.
    parts: list[dict[str, Any]] = [
        {"params": [w for w in step.model.parameters() if id(w) in weights], "weight_decay": 0.0},
        {"params": [w for w in step.model.parameters() if id(w) not in weights]},
        {
            "params": list(step.parameters_of_objective.parameters()),
            "lr_share": settings.objective_lr,
        },
    ]
    groups = [{"lr_share": 1.0} | part for part in parts if part["params"]]
    own: dict[str, Any] = {"fused": True} if settings.fused else {}
    try:
        optimizer = create_optimizer_v2(
            groups,
            opt=settings.name,
            lr=recipe.schedules.lr(0.0),
            weight_decay=settings.weight_decay,
            betas=settings.betas,
            eps=settings.eps,
            **own,
        )
    # Some want another number of betas, some want CUDA, and say so in these ways.
    except (TypeError, ValueError, LookupError, AssertionError, ImportError) as error:
        raise UsageError(f"optimizer {settings.name}: {error}") from None
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(f"optimizer {settings.name} needs second derivatives, which no step takes")
    more = optimizer.state_dict().keys() - {"state", "param_groups"}
    if more:  # generators, say, which no checkpoint can hold
        raise UsageError(f"optimizer {settings.name} cannot be resumed: it keeps {sorted(more)}")
    return optimizer
