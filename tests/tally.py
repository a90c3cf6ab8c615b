"""Figures of a test, printed at the end of a run: how many were tried, and what became of them."""

from __future__ import annotations

from collections import Counter


class Tally(Counter):
    """Figures of one kind of fault, in the order in which they are first counted."""

    def __init__(self, title: str, *names: str):
        super().__init__(dict.fromkeys(names, 0))
        self.title = title

    def most(self, name: str, value: int) -> None:
        """Keep the largest value."""
        self[name] = max(self[name], value)

    def __str__(self) -> str:
        texts = (
            name.format(count) if "{}" in name else f"{count} {name}"
            for name, count in self.items()
        )
        return f"{self.title}: {', '.join(texts)}".removesuffix(": ")
