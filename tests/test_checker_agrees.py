"""A net with sums, trained and certified by the package, judged by the checker that shares no code
with it: the interval bound, both notions, image by image.

Shapes: N images, B batch.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from conftest import NAME
from torch import nn
from torch.nn import functional as F

import zoo.publishing.release
from tests.checker_tool import TOOL
from zoo.attacks.pgd import PGD
from zoo.bounds import bounds
from zoo.boxes import box
from zoo.cards.card import Card
from zoo.data.load import load_data
from zoo.layers import Normalize
from zoo.publishing.release import Claim, Measuring
from zoo.tensors import save_tensors

EPS = Fraction(3, 100)


def trained() -> nn.Module:
    """A small convolutional net, trained on digits for a few seconds by its interval bound."""
    torch.manual_seed(0)
    net = nn.Sequential(
        Normalize([0.3058], 0.3754),
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    train, bound = load_data("digits", "train"), bounds["interval"]()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    net.eval()
    for step in range(240):
        x_BCHW, y_B = train.batch(torch.randperm(len(train))[:128])
        margins_BK = bound(net, box(x_BCHW, EPS * min(step, 120) / 120), y_B)
        optimizer.zero_grad()
        F.cross_entropy(-margins_BK, y_B).backward()
        optimizer.step()
    return net


@pytest.fixture(scope="module")
def folder(shelf: Path, tmp_path_factory) -> Path:
    """Its weight folder, written as every published one is."""
    folder = tmp_path_factory.mktemp("affine") / "cnn.digits_eps0.03"
    folder.mkdir()
    net, card = trained(), Card.read(shelf / NAME)
    about = {key: getattr(card, key) for key in zoo.publishing.release.ORIGIN}
    save_tensors(net, folder / "model.safetensors")
    claim = Claim("cnn.digits_eps0.03", "cnn", EPS, "interval")
    measuring = Measuring(PGD(steps=5), quiet=True)
    test = load_data("digits", "test")
    zoo.publishing.release.write_claims(folder, net, claim, about, test, measuring)
    return folder


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_checker_agrees_on_every_image(folder: Path) -> None:
    card = Card.read(folder)
    assert card.counts.n_certified > 100  # a net worth checking
    assert card.logits_sha256 is None  # its sums have no fixed order
    done = run(folder, "--exact", 0)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "360 images, 360 agree" in done.stdout and "0 provable beyond" in done.stdout


def test_a_claim_beyond_the_bound_is_not_proved(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    path = copy / "certificates.csv"
    with path.open(newline="") as file:
        status = Counter(row["status"] for row in csv.DictReader(file))
    assert status["unknown"] > 0
    path.write_text(path.read_text().replace("unknown,0,0,0", "certified,1,1,1", 1))
    (copy / "config.json").write_text(
        (copy / "config.json").read_text().replace("certificates_sha256", "was", 1)
    )
    done = run(copy, "--exact", 0)
    assert done.returncode == 1 and "359 agree" in done.stdout
