"""The stand-alone checker as modules, for tests that look inside it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

TOOLS = Path(__file__).parents[1] / "tools"
TOOL = TOOLS / "check_certificates.py"


def _modules() -> SimpleNamespace:
    """Its files; they find each other beside them, as when the tool is run."""
    sys.path.insert(0, str(TOOLS))
    try:
        import backward_bounds
        import check_certificates
        import enclosures
        import layer_kinds
        import weight_folder
    finally:
        sys.path.remove(str(TOOLS))
    return SimpleNamespace(
        backward_bounds=backward_bounds,
        check_certificates=check_certificates,
        enclosures=enclosures,
        layer_kinds=layer_kinds,
        weight_folder=weight_folder,
    )


checker = _modules()
