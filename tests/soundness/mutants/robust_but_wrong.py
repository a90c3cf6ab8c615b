"""Margins are those of the predicted class, and nobody looks whether it is the label."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zoo.certification import Certificate, Certifier

PITFALL = 13
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Certifier.__call__

    def planted(certifier, x_BCHW, y_B, radii, *, clip=True):
        preds_B = certifier.model(x_BCHW).argmax(1)
        found = original(certifier, x_BCHW, preds_B, radii, clip=clip)
        return [replace(certificate, labels_B=y_B) for certificate in found]

    patch.setattr(Certifier, "__call__", planted)
    patch.setattr(Certificate, "__post_init__", lambda certificate: None)
