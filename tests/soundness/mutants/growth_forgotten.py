"""The program's errors are counted at the centre of the ball and not at the attacked image."""

from __future__ import annotations

import pytest

import zoo.bounds.lipschitz as lipschitz

PITFALL = None
HUNTS = ("border_lipschitz",)


def plant(patch: pytest.MonkeyPatch) -> None:
    def planted(bound, model, x_BCHW, y_B):
        logits, constant = lipschitz._logits(model, x_BCHW), lipschitz.lipschitz_constant(model)
        return lipschitz._line(logits, y_B, errors=1.0, slope=2 * constant), logits.value

    patch.setattr(lipschitz.Lipschitz, "deployed_line", planted)
