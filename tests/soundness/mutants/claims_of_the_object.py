"""What is certified and attacked is the net in memory, not the file that was written."""

from __future__ import annotations

import pytest

import zoo.publishing.release as release

PITFALL = 15
HUNTS = ("files",)


def plant(patch: pytest.MonkeyPatch) -> None:
    in_memory: list[dict] = []
    save, load = release.save_tensors, release.load_tensors

    def remember(model, path):
        in_memory.append(model.state_dict())
        save(model, path)

    def recall(model, path):
        load(model, path)
        model.load_state_dict(in_memory[-1])

    patch.setattr(release, "save_tensors", remember)
    patch.setattr(release, "load_tensors", recall)
