"""A bound that fails leaves strict settings behind, and its user another arithmetic."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

import zoo.certification.certifier as certifier

PITFALL = None
HUNTS = ("numerics",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original, kept = certifier.strict_numerics, []

    @contextmanager
    def planted():
        inner = original()
        entered = inner.__enter__()
        kept.append(inner)  # or collecting it would restore them
        yield entered
        inner.__exit__(None, None, None)

    patch.setattr(certifier, "strict_numerics", planted)
