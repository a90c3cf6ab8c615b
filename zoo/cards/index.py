"""The index of published models: one small JSON file, all that listing reads."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from zoo.errors import IntegrityError, unknown
from zoo.names import is_name, parse_name
from zoo.paths import recipes_dir, weights_dir
from zoo.storage.atomic import write_text
from zoo.storage.read import MAX_JSON_BYTES, is_folder, read_bounded, shown, strict_json

if TYPE_CHECKING:
    from zoo.cards.card import Card


class IndexEntry(TypedDict):
    """What the index says of a model; eps as on its card, hub_id None until it is uploaded."""

    sha256: str
    bytes: int
    params: int
    data: str
    eps: str
    bound: str
    n: int
    n_clean: int
    n_certified: int
    hub_id: str | None


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _counts(value: Any) -> bool:
    return type(value) is int and value >= 0


# By hand: listing models must not wait for pydantic. No text here can be a path.
_FITS: dict[str, Callable[[Any], bool]] = {
    "sha256": _matches("[0-9a-f]{64}"),
    "bytes": _counts,
    "params": _counts,
    "data": _matches("[a-z0-9_]{1,80}"),
    "bound": _matches("[a-z0-9_]{1,80}"),
    "eps": _matches("[0-9./]{1,40}"),
    "hub_id": lambda value: value is None or _matches(r"[\w-][\w.-]*/[\w-][\w.-]*")(value),
    "n": lambda value: _counts(value) and value > 0,
    "n_clean": _counts,
    "n_certified": _counts,
}


def read_index(folder: Path | None = None) -> dict[str, IndexEntry]:
    """Name to entry for all published models; {} where nothing is published yet.

    Raises:
        IntegrityError: an index that is not strict JSON, or holds what is no name or no entry.
    """
    path = (folder or weights_dir()) / "index.json"
    if not path.is_file():
        return {}
    try:
        index = strict_json(read_bounded(path, MAX_JSON_BYTES))
    except ValueError as error:
        raise IntegrityError(f"{path} is not JSON: {error}\n  reinstall the zoo") from None
    for name, entry in index.items():
        reason = None if is_name(name) else "is not a model name"
        reason = reason or _misfit(entry)
        if reason:
            raise IntegrityError(
                f"{path} is not an index of models: {shown(name)} {reason}\n  reinstall the zoo"
            )
    return index


def _misfit(entry: Any) -> str | None:
    """Why this is no entry, or None."""
    if not isinstance(entry, dict) or entry.keys() != _FITS.keys():
        return f"needs the keys {', '.join(_FITS)}, and no more"
    wrong = (key for key, fits in _FITS.items() if not fits(entry[key]))
    return next((f"has {key} = {shown(entry[key])}" for key in wrong), None)


def enter(folder: Path, card: Card) -> None:
    """Add a model to the index of a folder, sorted, so that diffs read well."""
    keys = "sha256 bytes params data bound".split()
    counts = "n n_clean n_certified".split()
    dumped: dict[str, Any] = card.model_dump(mode="json")
    entry = {key: dumped[key] for key in keys} | {"eps": dumped["eps"], "hub_id": None}
    index: dict[str, Any] = dict(read_index(folder))
    index[card.name] = entry | {key: dumped["counts"][key] for key in counts}
    content = json.dumps(dict(sorted(index.items(), key=lambda item: natural(item[0]))), indent=2)
    write_text(folder / "index.json", content + "\n")


def list_models(
    pattern: str = "*",
    *,
    data: str | None = None,
    eps: Any = None,
    method: str | None = None,
    pretrained: bool = False,
) -> list[str]:
    """Names of models, in natural order.

    Args:
        pattern: with * and ?, as in a shell.
        data: only models for this dataset.
        eps: only models that claim this eps, in pixel units.
        method: only models of this architecture, or whose name's variant has this word.
        pretrained: only models with published weights; otherwise those with a recipe too.
    """
    from zoo.eps import parse_eps

    names = set(read_index())
    if not pretrained:
        recipes = {path.stem for path in recipes_dir().glob("*.yaml")}
        names |= {name for name in recipes if is_name(name)}
    wanted = None if eps is None else parse_eps(eps)
    chosen = []
    for name in fnmatch.filter(names, pattern):
        parts = parse_name(name)
        words = [parts.arch, *(parts.variant or "").split("_"), parts.variant or ""]
        if (
            data in (None, parts.data)
            and wanted in (None, parts.eps)
            and (method is None or method in words or parts.arch.startswith(method))
        ):
            chosen.append(name)
    return sorted(chosen, key=natural)


def natural(text: str) -> list[tuple[int, Any]]:
    """Sort key that puts mlp10 behind mlp9."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]


def info(name: str) -> Card:
    """Card of a published model, or of a weight folder.

    Raises:
        NotFoundError: no such model.
    """
    from zoo.cards.card import Card

    folder = folder_of(name)
    return published_card(name, folder) if name in read_index() else Card.read(folder)


def folder_of(name_or_path: str | Path) -> Path:
    """Folder of a published model, or the weight folder itself.

    Raises:
        NotFoundError: no such model.
    """
    # What is published goes first: the working directory must not decide what a name means.
    if str(name_or_path) not in read_index() and is_folder(name_or_path):
        return Path(name_or_path)
    return published_folder(str(name_or_path))


def published_folder(name: str) -> Path:
    """Folder of a model in the index.

    Raises:
        NotFoundError: a name that is not in the index.
        IntegrityError: it, or a file in it, is a link that leads out of the weights folder.
    """
    index = read_index()
    if name not in index:
        if name in list_models():
            raise unpublished(name)
        raise unknown("model", name, list_models(), see="zoo list")
    folder = weights_dir() / name
    # Only here: a folder that a user names may be a cache, whose files are links to elsewhere.
    for path in (folder, folder / "config.json", folder / "model.safetensors"):
        if not path.resolve().is_relative_to(weights_dir().resolve()):
            raise IntegrityError(
                f"{path} is a link that leads out of {weights_dir()}\n"
                "  reinstall the zoo with copies of its files; or give the folder itself"
            )
    return folder


def published_card(name: str, folder: Path) -> Card:
    """The card of a model in the index, which must tell the same.

    Raises:
        NotFoundError, IntegrityError: see Card.read.
        IntegrityError: a card of another model, or with other counts.
    """
    from zoo.cards.card import Card
    from zoo.eps import format_eps

    card, entry = Card.read(folder), read_index()[name]
    told = {"name": card.name, "sha256": card.sha256, "bytes": card.bytes, "data": card.data}
    told |= {"eps": format_eps(card.eps), "bound": card.bound, "params": card.params}
    told |= {key: getattr(card.counts, key) for key in ("n", "n_clean", "n_certified")}
    for key, wanted in ({"name": name} | entry).items():
        if key in told and told[key] != wanted:
            raise IntegrityError(
                f"{folder / 'config.json'} is not the card that was published\n"
                f"  it says {key} = {shown(told[key])}, the index says {shown(wanted)}\n"
                "  delete it and download or check it out again"
            )
    return card


def unpublished(name: str) -> Exception:
    """Error for a model that has a recipe but no weights yet."""
    from zoo.errors import NotFoundError

    return NotFoundError(
        f"{name} has a recipe but no published weights\n"
        f"  train it:     zoo train {name}\n"
        "  with weights: zoo list --pretrained"
    )
