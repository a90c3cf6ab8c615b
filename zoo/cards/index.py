"""The index of published models: one small JSON file, all that listing reads."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from zoo.errors import IntegrityError, unknown
from zoo.names import is_name, parse_name
from zoo.paths import recipes_dir, weights_dir
from zoo.storage.atomic import write_text

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


def read_index(folder: Path | None = None) -> dict[str, IndexEntry]:
    """Name to entry for all published models; {} where nothing is published yet.

    Raises:
        IntegrityError: an index that is not JSON.
    """
    path = (folder or weights_dir()) / "index.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path} is not JSON: {error}\n  reinstall the zoo") from None


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

    return Card.read(folder_of(name))


def folder_of(name_or_path: str | Path) -> Path:
    """Folder of a published model, or the weight folder itself.

    Raises:
        NotFoundError: no such model.
    """
    # What is published goes first: the working directory must not decide what a name means.
    if str(name_or_path) not in read_index() and Path(name_or_path).is_dir():
        return Path(name_or_path)
    return published_folder(str(name_or_path))


def published_folder(name: str) -> Path:
    """Folder of a model in the index.

    Raises:
        NotFoundError: a name that is not in the index.
    """
    index = read_index()
    if name not in index:
        if name in list_models():
            raise unpublished(name)
        raise unknown("model", name, list_models(), see="zoo list")
    return weights_dir() / name


def unpublished(name: str) -> Exception:
    """Error for a model that has a recipe but no weights yet."""
    from zoo.errors import NotFoundError

    return NotFoundError(
        f"{name} has a recipe but no published weights\n"
        f"  train it:     zoo train {name}\n"
        "  with weights: zoo list --pretrained"
    )
