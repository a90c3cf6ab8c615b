"""Certification: verdicts, counts and what is refused.

Shapes: B images, K classes.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import zoo
from zoo.attacks import Attack
from zoo.attacks.pgd import PGD
from zoo.bounds.lipschitz import Lipschitz
from zoo.certification import Certifier, certify, evaluate
from zoo.certification.certifier import strict_argmax
from zoo.certification.report import COLUMNS, SAMPLE_COLUMNS
from zoo.data.load import load_data
from zoo.errors import FalsifiedError, UsageError
from zoo.models import LinfDistMLP, fold
from zoo.rounding import snapshot, strict_numerics

TENTH = Fraction(1, 10)


def digit_net(seed: int = 0) -> LinfDistMLP:
    torch.manual_seed(seed)
    return fold(LinfDistMLP(3, width=16, in_chans=1, img_size=8, mean=0.3, std=0.37).eval())


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", "test").take(60)


def at_two_points(distance: float) -> tuple[LinfDistMLP, Tensor, Tensor]:
    """One pixel, two classes at 0 and at 2 * distance, an image in the middle of class 0."""
    net = LinfDistMLP(1, in_chans=1, img_size=1, num_classes=2, folded=True).eval()
    with torch.no_grad():
        net.layers.dist1.weight.copy_(torch.tensor([[0.0], [2 * distance]]))
    return net, torch.zeros(1, 1, 1, 1), torch.tensor([0])


def test_a_margin_of_exactly_two_eps_is_not_certified():
    net, x_BCHW, y_B = at_two_points(0.25)  # margin 0.5, radius 0.25
    for bound in ("lipschitz", "interval"):
        for eps, verdict in ((Fraction(1, 4), False), (Fraction(249, 1000), True)):
            certificate = certify(net, x_BCHW, y_B, eps, bound=bound, clip=False)
            assert bool(certificate.certified_B) is verdict


def test_equal_logits_are_neither_correct_nor_certified():
    net, x_BCHW, y_B = at_two_points(0.0)
    certificate = certify(net, x_BCHW, y_B, 0)
    assert certificate.preds_B.tolist() == [-1]
    assert not certificate.clean_B.any() and not certificate.certified_B.any()
    assert certificate.status(torch.tensor([False])) == ["misclassified"]


def test_nan_logits_have_no_class():
    logits_BK = torch.tensor([[1.0, float("nan")], [float("nan"), 1.0], [2.0, 1.0]])
    assert strict_argmax(logits_BK).tolist() == [-1, -1, 0]


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_verdicts_do_not_depend_on_batches(digits, bound):
    net = digit_net()
    reports = [
        evaluate(net, digits, eps=0.02, bound=bound, attack=None, batch_size=size)
        for size in (1, 7, 60)
    ]
    assert reports[0].samples == reports[1].samples == reports[2].samples


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.fractions(0, 1, max_denominator=255), st.integers(0, 5))
def test_certified_is_a_and_b_and_implies_correct(eps, seed):
    pixels = load_data("digits", "test").take(40)
    x_BCHW, y_B = pixels.batch(torch.arange(40))
    net = digit_net(seed)
    # random nets are rarely right: ask for the class that they give to half of the images
    y_B = torch.where(torch.arange(40) % 2 == 0, strict_argmax(net(x_BCHW)), y_B)
    certificate = certify(net, x_BCHW, y_B, eps)
    assert torch.equal(certificate.certified_B, certificate.real_B & certificate.deployed_B)
    assert not (certificate.certified_B & ~certificate.clean_B).any()
    assert not (certificate.certified_B & ~certificate.naive_B).any()


def test_a_sweep_agrees_with_one_eps_at_a_time(digits):
    net = digit_net()
    x_BCHW, y_B = digits.batch(torch.arange(len(digits)))
    radii = [Fraction(i, 100) for i in range(6)]
    for bound in ("lipschitz", "interval"):
        certifier = Certifier(net, bound)
        for eps, certificate in zip(radii, certifier(x_BCHW, y_B, radii), strict=True):
            alone = certify(net, x_BCHW, y_B, eps, bound=bound)
            assert torch.equal(alone.certified_B, certificate.certified_B)
            assert torch.equal(alone.margin_B, certificate.margin_B)


def test_rows_count_every_image_once_and_hold_the_published_columns(digits, tmp_path):
    report = evaluate(digit_net(), digits, eps=["0.01", "8/255"], attack=PGD(steps=3))
    for row in report.rows:
        misclassified = row.n - row.n_clean
        assert row.n == row.n_certified + row.n_falsified + row.n_unknown + misclassified == 60
        assert list(row.to_dict()) == COLUMNS and row.data == "digits" and row.split == "test"
        assert row.empirical_acc == round(100 * (row.n_certified + row.n_unknown) / 60, 2)
    assert [row.eps for row in report.rows] == ["0.01", "8/255"]
    assert json.loads(report.to_json())[0]["split_sha256"] == digits.sha256
    report.samples_to_csv(tmp_path / "samples.csv")
    with (tmp_path / "samples.csv").open(newline="") as file:
        samples = list(csv.DictReader(file))
    assert list(samples[0]) == SAMPLE_COLUMNS and len(samples) == 60
    statuses = [sample["status"] for sample in samples]
    assert statuses.count("certified") == report.rows[0].n_certified
    assert statuses.count("falsified") == report.rows[0].n_falsified


def test_without_an_attack_the_empirical_accuracy_is_empty(digits):
    row = evaluate(digit_net(), digits, eps=0.01, attack=None).rows[0]
    assert row.attack == "none" and row.empirical_acc is None and row.n_falsified == 0


def test_a_broken_certificate_stops_the_evaluation(digits, monkeypatch):
    """A bound without its factor 2 certifies what an attack then breaks."""
    monkeypatch.setattr(Lipschitz, "__init__", lambda self: None)
    original = Lipschitz.sweep

    def halved(self, model, model64, x_BCHW, y_B, radii, clip):
        yield from original(self, model, model64, x_BCHW, y_B, [eps / 8 for eps in radii], clip)

    monkeypatch.setattr(Lipschitz, "sweep", halved)
    net = digit_net()
    x_BCHW, _ = digits.batch(torch.arange(60))
    chosen = strict_argmax(net(x_BCHW))
    pixels = replace(digits, y_N=chosen)
    with pytest.raises(FalsifiedError, match="soundness bug"):
        evaluate(net, pixels, eps=0.05, attack=PGD(steps=20))


class Nothing(Attack):
    def run(self, model, box, y_B):
        return box.x_BCHW

    def __str__(self):
        return "nothing()"


def test_any_attack_can_be_given(digits):
    assert evaluate(digit_net(), digits, eps=0.01, attack=Nothing()).rows[0].attack == "nothing()"


def test_images_and_labels_that_do_not_fit_are_refused():
    net = digit_net()
    x_BCHW, y_B = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    for images, labels, word in (
        (torch.rand(2, 1, 9, 9), y_B, r"shape \(1, 8, 8\)"),
        (torch.rand(2, 64), y_B, r"\(B, C, H, W\)"),
        (x_BCHW * 2, y_B, "leave"),
        (x_BCHW - 0.5, y_B, "leave"),
        (x_BCHW * float("nan"), y_B, "NaN"),
        (x_BCHW.double(), y_B, "float64"),
        ((x_BCHW * 255).to(torch.uint8), y_B, "uint8"),
        (x_BCHW, torch.tensor([0]), "labels"),
        (x_BCHW, torch.tensor([0, 10]), r"0\.\.9"),
        (x_BCHW, torch.tensor([0, -1]), r"0\.\.9"),
        (x_BCHW, y_B.int(), "int64"),
    ):
        with pytest.raises(UsageError, match=word):
            certify(net, images, labels, 0.1)


@pytest.mark.parametrize("eps", [-0.1, 1.5, "8/0", "abc", float("nan")])
def test_an_eps_that_is_none_is_refused(eps):
    with pytest.raises(UsageError, match="eps"):
        certify(digit_net(), torch.rand(1, 1, 8, 8), torch.tensor([0]), eps)


def test_unknown_bounds_are_refused_with_a_suggestion():
    with pytest.raises(UsageError, match="did you mean: lipschitz"):
        certify(digit_net(), torch.rand(1, 1, 8, 8), torch.tensor([0]), 0.1, bound="lipshitz")


def test_autocast_is_refused():
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(UsageError, match="autocast"):
        certify(digit_net(), torch.rand(1, 1, 8, 8), torch.tensor([0]), 0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype):
    with pytest.raises(UsageError, match="float16"):
        certify(digit_net().to(dtype), torch.rand(1, 1, 8, 8).to(dtype), torch.tensor([0]), 0.1)


def test_strict_numerics_sets_ieee_and_restores_what_was():
    general, conv = torch.backends.fp32_precision, torch.backends.cudnn.conv.fp32_precision
    with strict_numerics():
        assert set(snapshot()["fp32_precision"].values()) == {"ieee"}
    assert torch.backends.fp32_precision == general
    assert torch.backends.cudnn.conv.fp32_precision == conv


def test_strict_numerics_restores_the_flushing_of_subnormals():
    torch.set_flush_denormal(True)
    try:
        with strict_numerics():
            assert (torch.tensor(2.0**-1060, dtype=torch.float64) * 1).item() > 0
        assert (torch.tensor(2.0**-1060, dtype=torch.float64) * 1).item() == 0
    finally:
        torch.set_flush_denormal(False)


def test_a_certifier_sees_the_weights_as_they_are_now(digits):
    net, x_and_y = digit_net(), digits.batch(torch.arange(20))
    certifier = Certifier(net)
    first = certifier(*x_and_y, [TENTH])[0]
    with torch.no_grad():
        net.layers.dist3.bias.add_(torch.arange(10.0))
    again, fresh = certifier(*x_and_y, [TENTH])[0], Certifier(net)(*x_and_y, [TENTH])[0]
    assert torch.equal(again.margin_B, fresh.margin_B)
    assert not torch.equal(again.margin_B, first.margin_B)


def test_certifying_leaves_the_model_as_it_was(digits):
    net = digit_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    evaluate(net, digits.take(20), eps=0.02, attack=PGD(steps=2, restarts=3))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not net.training and net.p == float("inf")
    assert all(parameter.grad is None for parameter in net.parameters())


def test_evaluate_needs_to_know_what_and_how_far(digits):
    with pytest.raises(UsageError, match="eps 'auto'"):
        evaluate(digit_net(), digits)
    with pytest.raises(UsageError, match="data 'auto'"):
        evaluate(digit_net(), eps=0.1)
    with pytest.raises(UsageError, match="no eps"):
        evaluate(digit_net(), digits, eps=[])
    with pytest.raises(UsageError, match="no images"):
        evaluate(digit_net(), digits, eps=0.1, n=0)
    with pytest.raises(UsageError, match="dtype"):
        evaluate(digit_net(), digits, eps=0.1, dtype="bfloat16")
    with pytest.raises(UsageError, match="device"):
        evaluate(digit_net(), digits, eps=0.1, device="cuda:99")


def test_float64_programs_can_be_certified_too(digits):
    narrow, wide = (
        evaluate(digit_net(), digits, eps=0.01, attack=None, dtype=dtype).rows[0]
        for dtype in ("float32", "float64")
    )
    assert wide.dtype == "float64" and abs(narrow.n_certified - wide.n_certified) <= 1


def test_the_public_names_are_there():
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
