"""The word "certified" in the list of images asks for B only."""

from __future__ import annotations

import pytest

from zoo.certification import Certificate

PITFALL = None
HUNTS = ("verdicts",)


def plant(patch: pytest.MonkeyPatch) -> None:
    original = Certificate.status

    def planted(certificate, falsified_B):
        names = original(certificate, falsified_B)
        proved = certificate.deployed_B.tolist()
        return ["certified" if b else name for name, b in zip(names, proved, strict=True)]

    patch.setattr(Certificate, "status", planted)
