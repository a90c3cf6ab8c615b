"""Averages of nets over nets and views: exact views, shares of one, certificates, publishing.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import zoo
from tests import oracles
from tests.op_cases import quick, seeds
from zoo.attacks.pgd import PGD
from zoo.certification import certify
from zoo.errors import IntegrityError, UsageError
from zoo.layers import Average, Flip, LpDistLinear, Negate, Shift
from zoo.models import LinfAverage, unfold
from zoo.publishing.claims import check_claims
from zoo.rules.describe import kinds

FULL = "linf_dist_mlp3.digits_eps0.1"
NAME = "linf_average.digits_eps0.1_views"
QUICK = PGD(steps=5, restarts=1)
VIEWS = ("same", "up", "left")


# ------------------------------------------------------------------------------------------- views


def test_a_flip_changes_left_and_right_and_twice_changes_nothing():
    x_BCHW = torch.rand(2, 3, 4, 5)
    assert torch.equal(Flip()(x_BCHW), torch.from_numpy(x_BCHW.numpy()[..., ::-1].copy()))
    assert torch.equal(Flip()(Flip()(x_BCHW)), x_BCHW)


@quick
@given(st.integers(-6, 6), st.integers(-6, 6), seeds)
def test_a_shift_moves_pixels_and_repeats_the_edge(rows, columns, seed):
    x_BCHW = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(seed))
    wanted = oracles.shifted(x_BCHW.numpy(), rows, columns)
    assert torch.equal(Shift(rows, columns)(x_BCHW), torch.from_numpy(wanted))


# ----------------------------------------------------------------------------------------- average


def random_average(count: int, seed: int = 0) -> nn.Sequential:
    """A mean of distance nets of two layers over two views; it says the constant 1."""
    torch.manual_seed(seed)
    members = [
        nn.Sequential(nn.Flatten(), LpDistLinear(4, 6, bias=True), LpDistLinear(6, 3), Negate())
        for _ in range(count)
    ]
    net = nn.Sequential(Average(members, [Flip(), Shift(1, 0)])).eval()
    net.lipschitz = 1.0
    return net


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_margins_of_an_average_are_the_means_of_margins(count):
    net, x_BCHW = random_average(count), torch.rand(20, 1, 2, 2)
    average = net[0]
    with torch.no_grad():
        each = [member(view(x_BCHW)).double().numpy() for view, member in average.branches]
        np.testing.assert_allclose(net(x_BCHW).numpy(), np.mean(each, 0), rtol=3e-6, atol=1e-6)
    assert len(each) == 2 * count and 0.999999 < Fraction(average.share) * len(each) <= 1


@pytest.mark.parametrize("count", [1, 3])
def test_logits_move_no_further_than_pixels(count):
    net = random_average(count).double()
    x, other = torch.rand(2, 2000, 1, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        apart_B = (net(x) - net(other)).abs().amax(1)
    share_B = apart_B / (x - other).abs().flatten(1).amax(1)
    assert share_B.max() <= 1 + 1e-12
    assert share_B.max() > 0.5


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_no_corner_breaks_the_certificate_of_an_average(bound):
    net, x_BCHW = random_average(3), torch.rand(40, 1, 2, 2)
    y_B, eps = net(x_BCHW).argmax(1), 0.05
    certified_B = certify(net, x_BCHW, y_B, eps, bound=bound).certified_B
    assert certified_B.any()
    for signs in torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4):
        corner = (x_BCHW + eps * signs.reshape(1, 2, 2)).clamp(0, 1)
        assert (net(corner).argmax(1) == y_B)[certified_B].all()


# -------------------------------------------------------------------------------------- publishing


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Weight folders of a pruned net, and of the average of the full and the pruned one."""
    shelf = tmp_path_factory.mktemp("weights")
    pruned = zoo.prune(FULL, out=shelf, attack=QUICK, quiet=True)
    zoo.average(FULL, pruned, name=NAME, views=VIEWS, out=shelf, attack=QUICK, quiet=True)
    return shelf


def test_what_is_published_is_the_mean_and_says_of_what(shelf):
    net, nets = zoo.load(shelf / NAME), [zoo.load(FULL), zoo.load(shelf / f"{FULL}_pruned")]
    assert isinstance(net, LinfAverage) and net.lipschitz == 1.0
    x_BCHW = torch.rand(30, 1, 8, 8)
    views = [nn.Identity(), Shift(-1, 0), Shift(0, -1)]
    with torch.no_grad():
        wanted = sum(each(view(x_BCHW)).double() for each in nets for view in views) / 6
        torch.testing.assert_close(net(x_BCHW).double(), wanted, rtol=0, atol=1e-6)
    card = net.card
    assert [(m.name, m.sha256) for m in card.averaged_from] == [
        (each.card.name, each.card.sha256) for each in nets
    ]
    # each member's weights lie there once, however many views it has
    assert card.params == sum(each.card.params for each in nets)
    assert kinds(card.layers) >= {"average", "shift", "linf_dist", "pruned_linf_dist"}
    assert card.logits_sha256 is not None
    page = (shelf / NAME / "README.md").read_text(encoding="utf-8")
    assert f"zoo average {FULL} {FULL}_pruned --views same,up,left --name {NAME}" in page


def test_its_claim_is_met_by_both_bounds(shelf):
    checked = check_claims(shelf / NAME, quiet=True).report.rows[0]
    interval = zoo.evaluate(str(shelf / NAME), bound="interval", attack=None, quiet=True).rows[0]
    assert 0 < checked.n_certified <= interval.n_certified


def edited(shelf: Path, folder: Path, **arguments: object) -> Path:
    """A copy whose card has other arguments of the architecture."""
    folder.mkdir()
    config = json.loads((shelf / NAME / "config.json").read_text())
    config["zoo"]["arch_args"] |= arguments
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((shelf / NAME / "model.safetensors").read_bytes())
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        {"members": []},
        {"members": [{"arch": "linf_average", "args": {}}]},
        {"members": [{"arch": "resnet18", "args": {}}]},
        {"members": [{"arch": "linf_dist_mlp3", "args": {"width": 2**31 - 1}}]},
        {"members": [{"arch": "linf_dist_mlp3", "args": {"width": 64, "pretrained": True}}]},
        {"members": [{"arch": "linf_dist_mlp3", "args": {"edges": [1, 1, 1]}}] * 64},
        {"members": [{"arch": "linf_dist_mlp3", "args": []}]},
        {"views": ["same", "sideways"]},
        {"views": 3},
        {"folded": False},
    ],
    ids=str,
)
def test_cards_with_other_members_or_views_are_refused(shelf, tmp_path, arguments):
    with pytest.raises(IntegrityError):
        zoo.load(edited(shelf, tmp_path / NAME, **arguments))


def test_other_views_of_the_same_members_do_not_pass_for_the_claim(shelf, tmp_path):
    folder = edited(shelf, tmp_path / NAME, views=["same", "flip", "left"])
    (folder / "certificates.csv").write_bytes((shelf / NAME / "certificates.csv").read_bytes())
    with pytest.raises(IntegrityError, match="lists other layers"):
        check_claims(folder, quiet=True)


def test_what_cannot_be_averaged_is_refused(shelf, tmp_path):
    def average(*names, name=NAME, **more):
        return zoo.average(*names, name=name, out=tmp_path, attack=QUICK, quiet=True, **more)

    for ask, word in (
        (lambda: average(), "at least one"),
        (lambda: average(FULL, FULL), "given twice"),
        (lambda: average(shelf / NAME), "no averages"),
        (lambda: average(FULL, views=["sideways"]), "views = "),
        (lambda: average(FULL, name="linf_average.digits_eps0.2"), "says eps"),
        (lambda: average(FULL, name="average.digits_eps0.1"), "says architecture"),
        (lambda: average(FULL, name="mine"), "not a model name"),
    ):
        with pytest.raises(UsageError, match=word):
            ask()
    with pytest.raises(UsageError, match="published weights never change"):
        zoo.average(FULL, name=NAME, out=shelf, attack=QUICK, quiet=True)
    with pytest.raises(UsageError, match="no training form"):
        unfold(zoo.load(shelf / NAME), 0.0, 1.0)
    assert not list(tmp_path.iterdir())
