"""Single bits flipped in published weights and in data: all are found before anything is used."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

import zoo
from hostile.folders import clear
from zoo.cards.index import read_index
from zoo.data.load import load_data
from zoo.errors import IntegrityError
from zoo.paths import recipes_dir, weights_dir

SEED = 3


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> Path:
    """A copy of all that is published, which zoo takes for its own."""
    shutil.copytree(weights_dir(), tmp_path / "weights")
    shutil.copytree(recipes_dir(), tmp_path / "recipes")
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr("zoo.paths._PACKAGE", tmp_path / "zoo")
    return tmp_path / "weights"


def flipped(path: Path, at: int, bit: int) -> None:
    """Flip a bit of a file where it lies; twice is none."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def test_bits_of_published_weights(own: Path, tally) -> None:
    counts = tally("bits flipped in published weights", "flips", "found")
    dice, names = random.Random(SEED), sorted(read_index())
    for i in range(600):
        name = names[i % len(names)]
        path = own / name / "model.safetensors"
        at = dice.randrange(*((0, 1000), (0, path.stat().st_size))[i % 5 > 0])
        bit = dice.randrange(8)
        flipped(path, at, bit)
        counts["flips"] += 1
        with pytest.raises(IntegrityError) as caught:
            zoo.load(name)
        clear(caught.value, str(path))
        counts["found"] += 1
        flipped(path, at, bit)
    assert counts["found"] == 600 and zoo.load(names[0])


def test_bits_of_digits(monkeypatch, tally) -> None:
    counts = tally("bits flipped in digits", "flips", "found")
    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    dice = random.Random(SEED)
    test_begins = 1437
    for i in range(300):
        # Pixels lie in float64 there and are whole numbers up to 16, so 5 bits of each count.
        x, y = pixels.copy(), labels.copy()
        split = ("train", "test")[i % 2]
        row = dice.randrange(*((0, test_begins), (test_begins, len(y)))[i % 2])
        if i % 3 == 0:
            y[row] ^= 1 << dice.randrange(4)
        else:
            column = dice.randrange(x.shape[1])
            x[row, column] = int(x[row, column]) ^ 1 << dice.randrange(5)
        monkeypatch.setattr(sklearn.datasets, "load_digits", lambda found=(x, y), **_: found)
        counts["flips"] += 1
        with pytest.raises(IntegrityError) as caught:
            load_data("digits", split)
        clear(caught.value, "digits", split, "not the published ones")
        counts["found"] += 1
    monkeypatch.undo()
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert len(load_data("digits")) == 360
    assert np.array_equal(sklearn.datasets.load_digits().target, labels)


def test_bits_of_mnist(tmp_path: Path, monkeypatch, times, tally) -> None:
    source = Path(os.environ.get("ZOO_DATA", "")) / "mnist" / "MNIST" / "raw"
    if not source.is_dir():
        pytest.skip("ZOO_DATA does not hold mnist")
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    shutil.copytree(source, raw, ignore=shutil.ignore_patterns("*.gz"))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert len(load_data("mnist")) == 10_000
    counts = tally("bits flipped in files of MNIST", "flips", "found")
    dice, files = random.Random(SEED), sorted(raw.glob("t10k-*"))
    for i in range(times(1000, 100)):
        file = files[i % 2]
        # Every fourth in the header of 16 or 8 bytes.
        end = (16, 8)[i % 2] if i % 4 < 2 else file.stat().st_size
        at, bit = dice.randrange(end), dice.randrange(8)
        flipped(file, at, bit)
        counts["flips"] += 1
        with pytest.raises(IntegrityError) as caught:
            load_data("mnist")
        clear(caught.value, "mnist")
        counts["found"] += 1
        flipped(file, at, bit)
    assert len(load_data("mnist")) == 10_000
    assert counts["found"] == counts["flips"]
