"""Bounds by name: lines of one's choice, of one's own file, and what is refused.

Shapes: B images, K classes.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from soundness.nets import predictions, random_images, random_net

from zoo.bound_names import parse_bound
from zoo.bounds import create_bound
from zoo.boxes import box
from zoo.certification import certify
from zoo.errors import UsageError
from zoo.fields import known_bound
from zoo.recipes import load_recipe
from zoo.recipes.schema import Recipe
from zoo.relaxations import relaxations
from zoo.terms.view import View

pytestmark = pytest.mark.usefixtures("one_thread")
EXAMPLE = Path(__file__).parent.parent / "examples" / "relaxation.py"


@pytest.fixture
def half() -> Iterator[str]:
    """The lines of the example, entered as its file is run."""
    runpy.run_path(str(EXAMPLE))
    yield "half"
    del relaxations._entries["half"]


def test_a_family_with_the_lines_it_has_is_the_family():
    net, x_BCHW = random_net("batch_normed", 3), random_images(3, 8)
    y_B, around = torch.arange(8) % 3, box(random_images(3, 8), 0.1)
    for short, long in (
        ("crown_ibp", "crown_ibp:adaptive"),
        ("crown_ibp_zero", "crown_ibp:zero"),
        ("cap", "crown:same_slope"),
        ("deepz_box", "deepz:box"),
        ("hbox_diag_c", "hzono:diag_c"),
        ("deepz", "deepz:slanted:kappa=1"),
    ):
        torch.testing.assert_close(
            create_bound(short)(net, around, y_B), create_bound(long)(net, around, y_B)
        )
        found = certify(net, x_BCHW, predictions(net, x_BCHW), 0.01, bound=long)
        assert found.bound == long and found.certified_B.any()


def test_settings_reach_the_lines():
    assert parse_bound("crown_ibp:soft:gamma=1e1").settings == {"gamma": 10.0}
    assert create_bound("crown:soft:gamma=3").lines.gamma == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("crwn_ibp", "unknown bound 'crwn_ibp'\n  did you mean: crown_ibp"),
        ("crwn_ibp:zero", "unknown bound 'crwn_ibp'"),
        ("crown_ibp:zeros", "unknown relaxation 'zeros'\n  did you mean: zero"),
        ("interval:zero", "interval takes no lines of one's choice"),
        ("smooth_tight:zero", "smooth_tight takes no lines of one's choice"),
        ("deepz:adaptive", "a zonotope takes two lines of one slope\n  these have one: box, diag"),
        ("crown:soft:kappa=1", "unexpected keyword argument 'kappa'"),
        ("crown:soft:name=3", "'name=3' is no setting"),
        ("crown:soft:gamma=3:gamma=4", "has a setting twice"),
        ("crown:soft:gamma", "'gamma' is no setting\n  write one as setting=number"),
        ("crown:soft:gamma=0", "gamma must be finite and > 0, not 0.0"),
        ("deepz:slanted:kappa=nan", r"kappa must lie in \[0, 1\], not nan"),
    ],
)
def test_names_that_say_nothing_are_refused(name, says):
    with pytest.raises(UsageError, match=says):
        known_bound(name)
    with pytest.raises(UsageError, match=says):
        create_bound(name)


def test_lines_drawn_at_random_train_and_do_not_certify():
    net, x_BCHW = random_net("relu", 1), random_images(1, 8)
    y_B = predictions(net, x_BCHW)
    view = View(net.train(), x_BCHW, y_B, 0.1)
    assert view.margins_BK("crown_ibp:uniform").requires_grad
    with pytest.raises(UsageError, match="draws its lines anew at each call"):
        certify(net.eval(), x_BCHW, y_B, 0.1, bound="crown_ibp:uniform")


# --------------------------------------------------------------------------------- one's own file


def test_lines_of_one_s_own_file_certify(half):
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 30
    found = {}
    for lines in (half, "zero", "one"):
        torch.manual_seed(0)
        net, x_BCHW = random_net("relu", 5), random_images(5, 64)
        y_B = predictions(net, x_BCHW)
        found[lines] = certify(net, x_BCHW, y_B, 0.1, bound=f"crown_ibp:{lines}")
    assert 0 < found[half].certified_B.sum() < 64
    margins = [each.margin_B for each in found.values()]
    assert not torch.equal(margins[0], margins[1]) and not torch.equal(margins[0], margins[2])


def test_recipes_take_lines_of_one_s_own_file(half):
    settings = load_recipe("conv1.mnist_eps0.3_ibp").model_dump()
    settings |= {
        "bound": f"cap_ibp:{half}",
        "objective": {"name": "robust_cross_entropy", "bound": f"crown:{half}"},
    }
    recipe = Recipe.model_validate(settings)
    assert recipe.bound == "cap_ibp:half"
    relaxations._entries["other"] = relaxations._entries.pop("half")
    try:
        with pytest.raises(ValueError, match="unknown relaxation 'half'"):
            Recipe.model_validate(settings)
    finally:
        relaxations._entries["half"] = relaxations._entries.pop("other")
