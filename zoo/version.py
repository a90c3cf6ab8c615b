"""Which code this is."""

from __future__ import annotations

import subprocess
from pathlib import Path

__version__ = "0.1.0"


def source_commit() -> str:
    """Commit of the source tree this package runs from, "+" where it was changed since."""
    tree = Path(__file__).resolve().parent.parent
    if not (tree / ".git").exists():
        return "unknown"
    try:
        commit = _git(tree, "rev-parse", "HEAD")
        return commit + ("+" if _git(tree, "status", "--porcelain", "--", "zoo", "recipes") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(tree: Path, *words: str) -> str:
    command = ["git", "-C", str(tree), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
