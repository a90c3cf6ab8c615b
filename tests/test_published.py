"""Published models: their bytes, their counts, and what attacks make of their certificates.

Shapes: N test images, K classes.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import zoo
from tests import oracles
from zoo.attacks.pgd import PGD
from zoo.bounds.lipschitz import Line
from zoo.cards.card import Card
from zoo.cards.index import read_index
from zoo.data.load import load_data
from zoo.errors import FalsifiedError, NotFoundError
from zoo.paths import weights_dir
from zoo.publishing.release import check_split
from zoo.tensors import sha256_of

DIGITS = "linf_dist_mlp3.digits_eps0.1"
NAMES = list(read_index())
# What a line of a claim says that no attack decides.
CLAIMED = ("index", "label", "pred", "naive", "a", "b")

cached_data = cache(load_data)


def claims(name: str) -> list[dict[str, str]]:
    """What a published model's certificates.csv says of each image."""
    with (weights_dir() / name / "certificates.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_default_model_is_published():
    assert DIGITS in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_index_the_card_and_the_file_agree(name):
    entry, card, folder = read_index()[name], zoo.info(name), weights_dir() / name
    assert card == Card.read(folder) and card.name == name
    assert entry["sha256"] == card.sha256 == sha256_of(folder / "model.safetensors")
    assert entry["bytes"] == card.bytes == (folder / "model.safetensors").stat().st_size
    assert (entry["n"], entry["n_certified"]) == (card.counts.n, card.counts.n_certified)
    assert "+" not in card.training.commit and card.training.commit != "unknown"
    statuses = [row["status"] for row in claims(name)]
    assert len(statuses) == card.counts.n
    assert statuses.count("certified") == card.counts.n_certified


@pytest.mark.parametrize("name", NAMES)
def test_the_claims_of_the_card_come_out_again(name, monkeypatch, times):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    card = zoo.info(name)
    try:
        test = cached_data(card.data, "test")
    except NotFoundError:
        pytest.skip(f"ZOO_DATA does not hold {card.data}")
    check_split(card, test)
    # Of 10,000 images a hundred tell: each has its line on the card.
    n = min(len(test), times(len(test), 100))
    report = zoo.evaluate(name, test, attack=None, n=n)
    for was, now in zip(claims(name)[:n], report.samples, strict=True):
        assert [was[key] for key in CLAIMED] == [str(now[key]) for key in CLAIMED]
    if n == card.counts.n:
        for key in "n n_clean n_certified n_certified_a n_certified_b n_certified_naive".split():
            assert getattr(report.rows[0], key) == getattr(card.counts, key)


def test_an_independent_evaluation_in_numpy_agrees_on_every_image():
    """Margins of the published tensors in float64, with no code of the package but the data."""
    tensors = load_file(weights_dir() / DIGITS / "model.safetensors")
    pixels = load_data("digits", "test")
    values = pixels.x_NCHW.numpy().reshape(len(pixels), -1) / np.float64(16)
    for i in range(1, 4):
        weight, bias = (tensors[f"layers.dist{i}.{kind}"] for kind in ("weight", "bias"))
        distances = np.abs(values[:, None, :] - weight.astype(np.float64)[None]).max(2)
        values = distances + bias.astype(np.float64)
    labels = pixels.y_N.numpy()
    own = np.take_along_axis(values, labels[:, None], 1)[:, 0]
    others = np.where(np.arange(10) == labels[:, None], np.inf, values).min(1)
    margins_N = others - own  # logits are negative distances
    for eps in (0.0, 0.05, 0.1, 0.2):
        x_NCHW, y_N = pixels.batch(torch.arange(len(pixels)))
        certificate = zoo.certify(zoo.load(DIGITS), x_NCHW, y_N, eps)
        np.testing.assert_array_equal(certificate.certified_B.numpy(), margins_N > 2 * eps)
        assert np.abs(margins_N - 2 * eps).min() > 1e-6  # no image is too close to tell
        assert certificate.radius_B is not None
        radius_N = np.maximum(margins_N / 2, 0)
        np.testing.assert_allclose(certificate.radius_B.numpy(), radius_N, atol=1e-5)


def test_exact_rational_margins_agree_on_some_images():
    tensors = load_file(weights_dir() / DIGITS / "model.safetensors")
    pixels = load_data("digits", "test").take(3)
    values = oracles.exactly(pixels.x_NCHW.numpy().reshape(3, -1) / 16)
    for i in range(1, 4):
        weight, bias = (tensors[f"layers.dist{i}.{kind}"] for kind in ("weight", "bias"))
        values = oracles.linf_dist(values, oracles.exactly(weight)) + oracles.exactly(bias)
    x_NCHW, y_N = pixels.batch(torch.arange(3))
    certificate = zoo.certify(zoo.load(DIGITS), x_NCHW, y_N, "1/10")
    for image, label, margin in zip(values, y_N.tolist(), certificate.margin_B, strict=True):
        exact = min(image[k] - image[label] for k in range(10) if k != label) - Fraction(1, 5)
        assert 0 <= exact - Fraction(margin.item()) < Fraction(1, 10**4)


# The attack of the next two tests, kept to where a fifth restart still finds something.
ATTACK = PGD(steps=100, restarts=5)


def images_near(eps: float) -> np.ndarray:
    """Test images whose radius is within a tenth of eps: those that a mistake would decide."""
    pixels = load_data("digits", "test")
    certificate = zoo.certify(zoo.load(DIGITS), *pixels.batch(torch.arange(len(pixels))), eps)
    assert certificate.radius_B is not None
    radius_N = certificate.radius_B.numpy()
    return np.flatnonzero(np.abs(radius_N / eps - 1) < 0.1)


@pytest.mark.parametrize("eps", [0.1, 0.13])
def test_pgd_breaks_no_certified_image(eps):
    near_N = torch.as_tensor(images_near(eps))
    pixels = load_data("digits", "test")
    some = replace(pixels, x_NCHW=pixels.x_NCHW[near_N], y_N=pixels.y_N[near_N])
    report = zoo.evaluate(DIGITS, some, eps=eps, attack=ATTACK)
    assert report.rows[0].n_certified > 0


def test_pgd_breaks_a_certifier_that_takes_1_9_eps_for_2_eps(monkeypatch):
    original = Line.at
    monkeypatch.setattr(
        Line, "at", lambda line, eps, y_B: original(line, eps * Fraction(19, 20), y_B)
    )
    with pytest.raises(FalsifiedError):
        for eps in (0.1, 0.13):
            test_pgd_breaks_no_certified_image(eps)
