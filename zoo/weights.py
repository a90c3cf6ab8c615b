"""From a name or folder to a model, every byte and tensor checked on the way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import zoo.models  # noqa: F401  (enters our architectures in timm's registry)
from zoo.architectures import check_architecture
from zoo.cards.card import Card
from zoo.cards.index import list_models, published_folder, read_index
from zoo.errors import IntegrityError, NotFoundError, UsageError, unknown
from zoo.names import is_name


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
    if name in index or (is_name(name) and not path.is_dir()):
        folder, pin = published_folder(name), index[name]["sha256"]
    elif path.is_dir():
        folder, pin = path, None
    elif path.suffix == ".safetensors" or path.exists():
        raise UsageError(f"{path}: give the folder that holds model.safetensors and config.json")
    else:
        raise unknown("model", name, list_models(), see="zoo list")
    card = Card.read(folder)
    weights = folder / "model.safetensors"
    check_file(weights, card.sha256, pin)
    try:
        # Ours only: timm would go to the network for some names, and open files for some arguments.
        check_architecture(card.arch, card.arch_args, sizes=True)
        model = timm.create_model(card.arch, **card.arch_args)
    except (RuntimeError, TypeError, UsageError) as error:
        reason = str(error).splitlines()[0]
        raise IntegrityError(f"the card in {folder} describes no net of ours: {reason}") from None
    load_tensors(model, weights)
    # What evaluation compares with, before it writes the card's hash into a row.
    setattr(model, "loaded_state", state_sha256(model))  # noqa: B010
    setattr(model, "card", card)  # noqa: B010  (nn.Module types attributes as tensors)
    return model.eval().to(device)


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
            tags = list_models(f"{arch}.*", pretrained=True)
            raise UsageError(
                f"{name} names no weights: which eps?\n  published: {', '.join(tags) or 'none yet'}"
            )
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


def save_tensors(model: nn.Module, path: Path) -> None:
    """Write a model's tensors; "format" is what timm and transformers look for."""
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, path, {"format": "pt"})
    path.chmod(0o644)  # save_file leaves it to its owner alone, and a weight folder is shared


def write_config(folder: Path, card: Card) -> None:
    """Write a card as config.json."""
    content = json.dumps(card.to_config(), indent=2, allow_nan=False) + "\n"
    (folder / "config.json").write_text(content, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(model: nn.Module) -> str:
    """Hash of a model's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_file(path: Path, *wanted: str | None) -> None:
    """Refuse a weight file whose bytes are not those that were published."""
    if not path.is_file():
        raise NotFoundError(
            f"{path} is missing\n  only its card is here: check out or download the weights"
        )
    found = sha256_of(path)
    for digest in wanted:
        if digest is not None and found != digest:
            raise IntegrityError(
                f"{path} is not the file that was published\n"
                f"  expected sha256 {digest}\n  found           {found}\n"
                "  delete it and download or check it out again"
            )


def load_tensors(model: nn.Module, path: Path) -> None:
    """Copy a file's tensors into a model: the same names, shapes and dtypes, all finite.

    Raises:
        IntegrityError: anything else.
    """
    wanted = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} is not a safetensors file: {error}") from None
    problems = [f"missing {key}" for key in wanted.keys() - tensors.keys()]
    problems += [f"unexpected {key}" for key in tensors.keys() - wanted.keys()]
    for key in wanted.keys() & tensors.keys():
        old, new = wanted[key], tensors[key]
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            problems.append(
                f"{key} is {new.dtype} {tuple(new.shape)}, "
                f"the architecture has {old.dtype} {tuple(old.shape)}"
            )
        elif new.is_floating_point() and not bool(torch.isfinite(new).all()):
            problems.append(f"{key} holds a value that is not finite")
    if problems:
        raise IntegrityError("\n  ".join([f"{path} does not fit its model", *sorted(problems)]))
    model.load_state_dict(tensors)
