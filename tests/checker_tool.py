"""The stand-alone checker as a module, for tests that look inside it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

TOOLS = Path(__file__).parents[1] / "tools"
TOOL = TOOLS / "check_certificates.py"


def part(name: str) -> ModuleType:
    """One of its files; it finds the others beside it, as when it is run."""
    sys.path.insert(0, str(TOOLS))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(TOOLS))
