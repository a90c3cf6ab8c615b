"""The class of tied logits is the first of them, as argmax gives it."""

from __future__ import annotations

import pytest

from soundness.planting import everywhere
from zoo.certification.certifier import strict_argmax

PITFALL = 11
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    everywhere(patch, strict_argmax, lambda logits_BK: logits_BK.argmax(1))
