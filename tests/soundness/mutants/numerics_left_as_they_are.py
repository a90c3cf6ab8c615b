"""Reduced precision that was switched on before stays on while certifying."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

import zoo.certification.certifier as certifier
from zoo.rounding import snapshot

PITFALL = 8
HUNTS = ("numerics",)


def plant(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def planted():
        yield snapshot()

    patch.setattr(certifier, "strict_numerics", planted)
