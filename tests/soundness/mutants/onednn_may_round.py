"""Of the variables that make libraries round operands, those of oneDNN are not known."""

from __future__ import annotations

import pytest

import zoo.rounding.strict as strict

PITFALL = 8
HUNTS = ("extremes",)


def plant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(strict, "_OVERRIDES", ("NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULAT"))
