"""From a recipe's file to a Recipe: one parent, overrides, and all errors at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from zoo.errors import NotFoundError, UsageError, unknown
from zoo.paths import recipes_dir
from zoo.recipes.schema import Recipe, known_keys
from zoo.storage.read import CONTROL, read_bounded, shown

# A recipe is a page of settings; anything larger is not one.
_MAX_BYTES = 16384
_MAX_DIGITS = 20
_MAX_ERRORS, _MAX_WORDS = 20, 300  # lines of one error, and characters of each
# A parent is a file beside its child, or one that comes with the zoo; never a path.
_PARENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}")


class _Loader(yaml.SafeLoader):
    """Plain data only, without what a page of settings has no use for and an attacker has."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of aliases can mean gigabytes
            raise yaml.MarkedYAMLError(
                None, None, "aliases are refused", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":  # a second way to give a key twice
                raise yaml.MarkedYAMLError(None, None, "merges are refused", key.start_mark)
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key.value} given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if isinstance(text, str) and CONTROL.search(text):
            raise yaml.MarkedYAMLError(None, None, "characters are no text", node.start_mark)
        if node.tag == "tag:yaml.org,2002:int" and len(text) > _MAX_DIGITS:
            raise yaml.MarkedYAMLError(None, None, "a number is too large", node.start_mark)
        return text


def list_recipes() -> list[str]:
    """Names of the recipes that come with the zoo; parents, which start with "_", are left out."""
    return sorted(path.stem for path in recipes_dir().glob("*.yaml") if path.stem[0] != "_")


def recipe_path(name_or_path: str | Path) -> Path:
    """File of a recipe that comes with the zoo, or of one that a user wrote.

    Raises:
        NotFoundError: neither a known name nor a file.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not os.path.isfile(path):  # noqa: PTH113  (never raises, however long the name)
            raise NotFoundError(f"no recipe file {path}\n  see all recipes: zoo recipe ls")
        return path
    if str(name_or_path) not in list_recipes():
        raise unknown("recipe", str(name_or_path), list_recipes(), see="zoo recipe ls")
    return recipes_dir() / f"{name_or_path}.yaml"


def load_recipe(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read, merge with the parent, override, check.

    Args:
        overrides: {"schedules.lr.start": 0.01}: dotted keys, as ``a.b=c`` on the command line.

    Raises:
        NotFoundError: no such recipe or parent.
        UsageError: what is wrong with it, a line each.
    """
    path = recipe_path(name_or_path)
    content = _with_parent(path)
    for key, value in (overrides or {}).items():
        _override(content, key, value)
    try:
        # A run's recipe.yaml says its name; a recipe's file is its name.
        return Recipe.model_validate({"name": path.stem} | content)
    except ValidationError as error:
        details = error.errors()
        lines = [f"recipe {path.stem} has {len(details)} error(s)"]
        lines += [_line(detail) for detail in details[:_MAX_ERRORS]]
        if len(details) > _MAX_ERRORS:
            lines.append(f"  and {len(details) - _MAX_ERRORS} more")
        raise UsageError("\n".join(lines)) from None


def _with_parent(path: Path) -> dict[str, Any]:
    content = _read(path)
    parent = content.pop("parent", None)
    if parent is None:
        return content
    if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
        raise UsageError(f"recipe {path.stem}: {shown(parent)} is not the name of a parent recipe")
    beside = path.parent / f"{parent}.yaml"
    parent_path = beside if beside.is_file() else recipes_dir() / f"{parent}.yaml"
    if not parent_path.is_file():
        raise NotFoundError(f"recipe {path.stem}: no parent recipe {parent!r}")
    inherited = _read(parent_path)
    if "parent" in inherited:
        raise UsageError(f"recipe {parent}: a parent cannot have a parent itself")
    return _merge(inherited, content)


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MAX_BYTES:
        raise UsageError(f"recipe {path} is larger than {_MAX_BYTES} bytes")
    content = _parse(f"recipe {path}", read_bounded(path, _MAX_BYTES))
    if not isinstance(content, dict):
        raise UsageError(f"recipe {path} must be a mapping of settings")
    return content


def _parse(where: str, text: str | bytes) -> Any:
    try:
        return _Loader(text).get_single_data()
    except Exception as error:  # values that a tag does not fit fail in a dozen ways
        raise UsageError(
            f"{where} is not YAML that a recipe may hold: {str(error)[:_MAX_WORDS]}"
        ) from None


def _merge(parent: dict[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge deeply, all else replaces; a mapping with another name starts afresh."""
    merged = dict(parent)
    for key, value in child.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and _same_kind(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _same_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return new.get("name", old.get("name")) == old.get("name")


def _override(content: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for part in parents:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise UsageError(f"override {key}: {part} holds no settings of its own")
    content[last] = _parse(f"override {key}", value) if isinstance(value, str) else value


def _line(detail: Any) -> str:
    place = tuple(detail["loc"])
    message = detail["msg"].removeprefix("Value error, ").replace("\n", "\n    ")
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(str(place[-1]), known_keys(place[:-1]), n=1)
        message = "unknown key" + (f"; did you mean {close[0]}?" if close else "")
    elif detail["type"] == "missing":
        message = "missing"
    elif detail["type"] not in ("value_error", "union_tag_invalid"):
        message += f", got {_shown(detail['input'])}"
    if place[:1] == ("schedules",):  # the third part is the kind of schedule, not a key
        place = place[:2] + place[3:]
    where = ".".join(map(str, place))
    return f"  {where[:_MAX_WORDS] or 'recipe'}: {message[:_MAX_WORDS]}"


def _shown(value: Any) -> str:
    try:
        return shown(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        return f"a {type(value).__name__} that is too large to show"
