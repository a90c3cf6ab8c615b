"""Registries: a decorator that names a thing, and a lookup that suggests the right name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from zoo.errors import UsageError, ZooError, unknown

T = TypeVar("T", bound=Callable[..., Any])
F = TypeVar("F", bound=Callable[..., Any])
# Registries by the package whose modules they collect.
_of_package: dict[str, Registry[Any]] = {}
_REGISTERED = re.compile(r'^@\w+\.register\("(\w+)"\)$', re.MULTILINE)


class Registry(Generic[T]):
    """Named factories of one kind, collected from the modules of one package.

    A module is found because it lies in the package: adding a file is enough to add an entry.

    Args:
        kind: what an entry is, for messages ("objective").
        package: the package whose modules register entries; imported at the first lookup.
        see: the command or page that lists all entries, for messages.
    """

    def __init__(self, kind: str, package: str, see: str, error: type[ZooError] = UsageError):
        self.kind, self.package, self.see, self.error = kind, package, see, error
        self._entries: dict[str, T] = {}
        self._loaded = False
        _of_package[package] = self

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator: enter a factory under a name; the same name twice is a programming error."""

        def enter(factory: F) -> F:
            assert name not in self._entries, f"{self.kind} {name!r} is registered twice"
            self._entries[name] = cast(T, factory)
            return factory

        return enter

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries, see=self.see, error=self.error)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and entries."""
        return ((name, self[name]) for name in self)

    def build(self, spec: Mapping[str, Any], **extra: Any) -> Any:
        """Call the factory that spec["name"] names with the rest of spec and with extra.

        Raises:
            UsageError: an argument that the factory does not take, or one that it misses.
        """
        arguments = {key: value for key, value in spec.items() if key != "name"} | extra
        factory = self[spec["name"]]
        try:
            inspect.signature(factory).bind(**arguments)
        except TypeError as error:
            raise UsageError(f"{self.kind} {spec['name']!r}: {error}") from None
        return factory(**arguments)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")


def registered_names(package: str) -> list[str]:
    """Names that the modules of a package register, read from their text: nothing is imported.

    They are what stands, as a plain text, in decorators ``@registry.register("name")``, and what
    other code that runs already has entered.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None
    found = set(_of_package[package]._entries) if package in _of_package else set()
    for folder in map(Path, spec.submodule_search_locations):
        for file in folder.glob("*.py"):
            found.update(_REGISTERED.findall(file.read_text(encoding="utf-8")))
    return sorted(found)
