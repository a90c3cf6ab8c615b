"""Only matrix products are set to IEEE: convolutions keep what was set before, TF32 here."""

from __future__ import annotations

import pytest

import zoo.rounding.strict as strict

PITFALL = 8
HUNTS = ("numerics",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = strict._precisions

    def planted():
        return {name: o for name, o in original().items() if name == "cuda.matmul"}

    patch.setattr(strict, "_precisions", planted)
