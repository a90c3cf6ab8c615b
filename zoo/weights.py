"""From a name or folder to a model, every byte and tensor checked on the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

import zoo.models  # noqa: F401  (enters our architectures in timm's registry)
from zoo.architectures import check_architecture, check_values
from zoo.cards.card import Card
from zoo.cards.index import list_models, published_card, published_folder, read_index
from zoo.errors import IntegrityError, UsageError, unknown
from zoo.names import is_name
from zoo.storage.read import is_folder, shown
from zoo.storage.tensor_file import check_format, check_schema
from zoo.tensors import (
    place,
    read_weights,
    save_tensors,
    slots,
    state_sha256,
    unpack,
)


def load(name_or_path: str | Path, *, device: str = "cpu") -> nn.Module:
    """A published model in eval mode, its card at ``model.card``.

    Args:
        name_or_path: a name from `zoo list`, or a weight folder.

    Raises:
        NotFoundError: no such model.
        IntegrityError: bytes, tensors or values that are not what the card says.
    """
    path = Path(name_or_path)
    name, index = str(name_or_path), read_index()
    # What is published goes first: the working directory must not decide what a name means.
    if name in index or (is_name(name) and not is_folder(path)):
        folder = published_folder(name)
        card, pin = published_card(name, folder), index[name]["sha256"]
    elif is_folder(path):
        folder, pin = path, None
        card = Card.read(folder)
    elif path.suffix == ".safetensors" or os.path.exists(path):  # noqa: PTH110  (never raises)
        raise UsageError(f"{path}: give the folder that holds model.safetensors and config.json")
    else:
        raise unknown("model", name, list_models(), see="zoo list")
    weights = folder / "model.safetensors"
    content = read_weights(weights, card.bytes, card.sha256, pin)
    found = check_format(content, weights)
    model = _planned(card, folder)
    check_schema(found, slots(model), weights)
    tensors = unpack(content, weights)
    del content  # before the model gets memory of its own
    place(tensors, model, weights)
    del tensors
    # What evaluation compares with, before it writes the card's hash into a row.
    setattr(model, "loaded_state", state_sha256(model))  # noqa: B010
    setattr(model, "card", card)  # noqa: B010  (nn.Module types attributes as tensors)
    return model.eval().to(device)


def _planned(card: Card, folder: Path) -> nn.Module:
    """The net that a card describes, on the meta device: names and shapes, and no memory.

    Raises:
        IntegrityError: it describes none of ours.
    """
    try:
        # Ours only: timm would go to the network for some names, and open files for some arguments.
        check_architecture(card.arch, card.arch_args, sizes=True)
        check_values(card.arch_args)
        with torch.device("meta"):
            return timm.create_model(card.arch, **card.arch_args)
    except (RuntimeError, TypeError, UsageError) as error:
        reason = str(error).splitlines()[0][:200]
        raise IntegrityError(f"the card in {folder} describes no net of ours: {reason}") from None


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """An architecture, or with a tag the net of that recipe or card.

    Args:
        name: "linf_dist_mlp5", or "linf_dist_mlp3.digits_eps0.1".
        pretrained: load the published weights; needs a tag, for the tag says which eps.
        kwargs: arguments of the architecture (width, num_classes, in_chans, img_size, ...).

    Raises:
        NotFoundError, UsageError: no such model; pretrained without a tag, or with arguments.
    """
    arch, _, tag = name.partition(".")
    if pretrained:
        if not tag:
            tags = [each for each in list_models(pretrained=True) if each.startswith(f"{arch}.")]
            known = ", ".join(tags) or "none yet"
            raise UsageError(f"{shown(name)} names no weights: which eps?\n  published: {known}")
        if kwargs:
            raise UsageError(f"pretrained {name} takes no arguments, got {sorted(kwargs)}")
        return load(name)
    if tag:
        from zoo.data.load import load_data
        from zoo.recipes import load_recipe
        from zoo.training.build import build_model

        recipe = load_recipe(name)
        check_architecture(recipe.model.name, kwargs, sizes=True)
        spec = recipe.model.model_copy(update=kwargs)
        return build_model(spec, load_data(recipe.data, "test"))
    check_architecture(arch, kwargs, sizes=True)
    return timm.create_model(arch, **kwargs)


def save(model: nn.Module, path: str | Path, card: Card) -> None:
    """Write a weight folder: model.safetensors and config.json."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(model, folder / "model.safetensors")
    write_config(folder, card)


def write_config(folder: Path, card: Card) -> None:
    """Write a card as config.json."""
    content = json.dumps(card.to_config(), indent=2, allow_nan=False) + "\n"
    (folder / "config.json").write_text(content, encoding="utf-8")
