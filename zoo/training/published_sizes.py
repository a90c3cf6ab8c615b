"""Sizes of a published net, for a recipe that trains it on in its published form."""

from __future__ import annotations

from typing import Any

from zoo.architectures import SIZES
from zoo.cards.index import info
from zoo.errors import UsageError
from zoo.recipes import Recipe
from zoo.recipes.schema import ModelSpec
from zoo.training.run import RunFolder, holds_run


def with_published_sizes(recipe: Recipe) -> Recipe:
    """The recipe with the arguments of the net in `init`, where `model.folded` leaves them open.

    Raises:
        NotFoundError, IntegrityError: see zoo.info and RunFolder.open.
        UsageError: there is nothing to train on, or it is of another architecture.
    """
    if not recipe.model.folded:
        return recipe
    if recipe.init is None:
        raise UsageError(
            f"recipe {recipe.name}: model.folded trains a published net on\n"
            "  say which: init: NAME in the recipe, or --from NAME"
        )
    if recipe.model.arguments.keys() != {"folded"}:
        return recipe
    arch, arguments = _of(recipe.init)
    if arch != recipe.model.name:
        raise UsageError(f"{recipe.init} is a {arch}, the recipe's model a {recipe.model.name}")
    said = {key: value for key, value in arguments.items() if key not in SIZES}
    model = ModelSpec.model_validate({"name": arch, "folded": True, **said})
    return recipe.model_copy(update={"model": model})


def _of(source: str) -> tuple[str, dict[str, Any]]:
    """Architecture and arguments of a published net or a run's."""
    if holds_run(source):
        spec = RunFolder.open(source).recipe.model
        return spec.name, spec.arguments
    card = info(source)
    return card.arch, card.arch_args
