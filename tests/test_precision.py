"""bfloat16: for convolutions in training steps, and for nothing that a certificate rests on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file
from torch import Tensor, nn

import zoo
from zoo.errors import UsageError
from zoo.recipes import load_recipe
from zoo.training import run_training


class Convolutional(nn.Module):
    """What autocast casts; it claims a Lipschitz constant so that a recipe runs on it."""

    lipschitz = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8 * 36, 10)
        self.seen: set[tuple[bool, torch.dtype]] = set()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        hidden = self.conv(x_BCHW)
        self.seen.add((self.training, hidden.dtype))
        return self.head(hidden.relu().flatten(1))


@pytest.fixture
def net(monkeypatch) -> Convolutional:
    """The net that recipes build here."""
    torch.manual_seed(0)
    model = Convolutional()
    monkeypatch.setattr("zoo.training.loop.build_model", lambda *_: model)
    return model


SETTINGS = TINY | {"precision": "bfloat16", "optimizer.eps": 1e-8, "schedules.lr.start": 1e-3}


def test_steps_are_bfloat16_and_validation_is_not(net: Convolutional, tmp_path: Path) -> None:
    run = run_training(NAME, out=tmp_path / "run", overrides=SETTINGS, quiet=True)
    assert net.seen == {(True, torch.bfloat16), (False, torch.float32)}
    kept = load_file(run.path / "model.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    assert run.recipe.precision == "bfloat16"


def test_float32_stays_float32_afterwards(net: Convolutional, tmp_path: Path) -> None:
    for precision in ("bfloat16", "float32"):
        net.seen.clear()
        overrides = SETTINGS | {"precision": precision}
        run_training(NAME, out=tmp_path / precision, overrides=overrides, quiet=True)
    assert net.seen == {(True, torch.float32), (False, torch.float32)}


def test_distance_nets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trains in float32: distances need its digits"):
        run_training(NAME, out=tmp_path / "run", overrides=SETTINGS, quiet=True)
    assert not (tmp_path / "run").exists()


def test_precision_of_the_launcher_is_no_second_opinion(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(UsageError, match="precision belongs to the recipe"):
        run_training(NAME, out=tmp_path / "run", overrides=TINY, quiet=True)


@pytest.mark.parametrize("word", ["bf16", "float16", "half"])
def test_other_precisions_are_no_settings(word: str) -> None:
    with pytest.raises(UsageError, match="precision"):
        load_recipe(NAME, {"precision": word})


def test_certificates_are_refused_under_autocast() -> None:
    model = zoo.load(NAME)
    x_BCHW, y_B = torch.rand(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(UsageError, match="cannot certify under autocast"),
    ):
        zoo.certify(model, x_BCHW, y_B, eps=0.1)
