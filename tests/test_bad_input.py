"""Bad images, labels and nets: one clear error from every bound, reading and loss; and no images.

Shapes: B images, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import timm
import torch
from soundness.nets import random_images, random_net
from term_cases import term
from torch import Tensor, nn

import zoo
import zoo.models
from zoo.bounds import bounds
from zoo.boxes import box
from zoo.errors import UsageError
from zoo.inputs import fitting, logits_of
from zoo.layers import CenterCrop, HalfSum, LpDistConv2d, Normalize
from zoo.margins import margins_of
from zoo.terms import View

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = list(bounds)
SEARCHED = ["smooth_tight", "alpha_crown", "alpha_crown_ibp", "alpha_deepz"]


def net_of(num_classes: int = 3) -> nn.Module:
    """For images of 2 x 2 pixels; it says nothing of what it takes, as a plain Sequential."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, num_classes)]
    return nn.Sequential(*layers).eval()


def distance_net() -> nn.Module:
    """Its layers alone, and their constant: it says nothing of what it takes either."""
    net = random_net("folded", 0)
    net.layers.lipschitz = net.lipschitz
    return net.layers


def asked(
    name: str, net: nn.Module, x_BCHW: Tensor, y_B: Tensor
) -> Iterator[Callable[[], Tensor | zoo.Certificate]]:
    """All ways to ask for a bound."""
    bound = bounds[name]()
    yield lambda: bound(net, box(x_BCHW, 0.1), y_B)
    if bound.sound:
        wide = copy.deepcopy(net).double()
        yield lambda: bound.real(wide, box(x_BCHW.double(), 0.1), y_B)
        yield lambda: bound.deployed(net, box(x_BCHW, 0.1), y_B)
        yield lambda: zoo.certify(net, x_BCHW, y_B, 0.1, bound=name)


def refused(name: str, net: nn.Module, x_BCHW: Tensor, y_B: Tensor, words: str) -> None:
    """Every way is refused in these words; losses by the bound too."""
    for ask in asked(name, net, x_BCHW, y_B):
        with pytest.raises(UsageError, match=words):
            ask()
    if name != "lipschitz":
        with pytest.raises(UsageError, match=words):
            term("robust_cross_entropy", bound=name)(View(net, x_BCHW, y_B, 0.1), {})


def kind(name: str) -> nn.Module:
    return distance_net() if name == "lipschitz" else net_of()


@pytest.mark.parametrize("name", NAMES)
def test_no_images_have_no_margins_and_none_is_wrong(name):
    x_BCHW, y_B = random_images(0, 4)[:0], torch.zeros(0, dtype=torch.int64)
    *margins, certificate = asked(name, kind(name), x_BCHW, y_B)
    if not bounds[name].sound:
        margins, certificate = [certificate], None
    for ask in margins:
        assert ask().shape == (0, 3)
    if certificate is not None:
        assert certificate().certified_B.shape == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_labels_that_name_no_class_are_refused(name):
    x_BCHW = random_images(0, 4)
    for y_B in (torch.tensor([0, 1, -1, 2]), torch.tensor([0, 1, 3, 2]), torch.tensor([-1] * 4)):
        words = rf"labels must lie in 0\.\.2, got {y_B.min()}\.\.{y_B.max()}"
        refused(name, kind(name), x_BCHW, y_B, words)


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_another_type_or_shape_are_refused(name):
    x_BCHW, y_B = random_images(0, 4), torch.tensor([0, 1, 2, 0])
    for other in (y_B.float(), y_B.int(), y_B.to(torch.uint8), y_B[:3], y_B[:, None], y_B[0]):
        refused(name, kind(name), x_BCHW, other, r"labels must be int64 of shape \(4,\)")


def test_a_loss_that_reads_ends_of_margins_refuses_labels_too():
    view = View(net_of(), random_images(0, 2), torch.tensor([0, -1]), 0.1)
    for bound in ("crown_ibp", "deepz"):
        with pytest.raises(UsageError, match=r"labels must lie in 0\.\.2"):
            term("fused_cross_entropy", bound=bound)(view, {})


@pytest.mark.parametrize("name", NAMES)
def test_images_of_another_size_are_refused_with_the_layer_that_does_not_take_them(name):
    x_BCHW, y_B = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    if name == "lipschitz":  # an op of ours says it itself
        refused(name, distance_net(), x_BCHW, y_B, r"linf_dist.*needs x of shape.*, got \(\d, 9\)")
        return
    words = r"shape \(B, 1, 3, 3\) do not fit.*Linear\(in_features=4.* of shape \(B, 9\)"
    refused(name, net_of(), x_BCHW, y_B, words)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 2), nn.ReLU()), nn.Flatten(), nn.Linear(8, 3))
    words = r"shape \(B, 1, 3, 3\) do not fit.*Conv2d\(3, 2.* of shape \(B, 1, 3, 3\)"
    refused(name, net.eval(), x_BCHW, y_B, words)


def test_images_of_another_size_are_refused_in_train_mode_and_count_in_no_statistics():
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 3))
    x_BCHW, y_B = torch.rand(2, 1, 3, 3), torch.tensor([0, 1])
    with pytest.raises(UsageError, match=r"Linear\(in_features=4"):
        bounds["interval"]()(net, box(x_BCHW, 0.1), y_B)
    assert net[0].num_batches_tracked == 1  # by the batch itself, and not by the search


def test_images_of_another_dtype_are_refused_by_losses_as_by_certificates():
    x_BCHW, y_B = random_images(0, 2).double(), torch.tensor([0, 1])
    with pytest.raises(UsageError, match=r"Linear.* was given torch.float64"):
        bounds["crown_ibp"]()(net_of(), box(x_BCHW, 0.1), y_B)
    with pytest.raises(UsageError, match=r"Linear.* was given torch.float64"):
        term("cross_entropy")(View(net_of(), x_BCHW, y_B), {})


class Crowded(nn.Module):
    """Takes one image at a time, as a machine whose memory is full."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if len(x_BCHW) > 1:
            raise RuntimeError("can't allocate memory")
        return x_BCHW


@pytest.mark.parametrize("name", [name for name in NAMES if bounds[name].sound])
def test_a_program_is_that_of_the_box_s_dtype(name):
    """A float32 program errs more than the float64 one for which the box would stand."""
    net, x_BCHW = kind(name), random_images(0, 2)
    wide, y_B = box(x_BCHW.double(), 0.1), torch.tensor([0, 1])
    with pytest.raises((UsageError, RuntimeError)):
        bounds[name]().deployed(net, wide, y_B)


@pytest.mark.parametrize("name", ["crown_ibp", "crown", "smooth_tight", "triangle", "best"])
def test_no_images_go_through_maxima_and_convolved_distances(name):
    pooled = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    x_BCHW, y_B = torch.zeros(0, 1, 2, 2), torch.zeros(0).long()
    for net in (pooled.append(nn.Linear(2, 3)), random_net("distconv", 0)):
        found = zoo.certify(net.eval(), x_BCHW, y_B, 0.1, bound=name)
        assert len(found.certified_B) == 0


def test_what_is_no_net_tensor_or_name_is_refused():
    net, x_BCHW, y_B = net_of(), random_images(0, 2), torch.tensor([0, 1])
    for given, words in (
        (("a name", x_BCHW, y_B), "the model is a str"),
        ((net.forward, x_BCHW, y_B), "the model is a method"),
        ((net, x_BCHW.numpy(), y_B), "images must be a dense torch tensor, not a ndarray"),
        ((net, x_BCHW, [0, 1]), "labels must be a dense torch tensor, not a list"),
        ((net, x_BCHW.to_sparse(), y_B), "images must be a dense torch tensor"),
    ):
        with pytest.raises(UsageError, match=words):
            zoo.certify(*given, 0.1)
        with pytest.raises(UsageError, match=words):
            zoo.attack(*given, 0.1, steps=1)
    with pytest.raises(UsageError, match="a bound goes by its name"):
        zoo.certify(net, x_BCHW, y_B, 0.1, bound=None)  # pyright: ignore[reportArgumentType]


def test_what_a_layer_repeats_is_followed_by_no_linear_form():
    net = nn.Sequential(Normalize([0.1, 0.2], 0.5), nn.Flatten(), nn.Linear(8, 3)).eval()
    x_BCHW, y_B = random_images(0, 2), torch.tensor([0, 1])
    for name in ("crown_ibp", "crown", "best", "triangle"):
        with pytest.raises(UsageError, match="Normalize repeats an input of shape"):
            zoo.certify(net, x_BCHW, y_B, 0.1, bound=name)


def test_layers_refuse_sizes_that_they_would_misread():
    with pytest.raises(UsageError, match="stride must be one whole number"):
        LpDistConv2d(1, 2, 2, stride=(1, 2))  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match=r"dim is 1 \(channels\)"):
        HalfSum(-1)
    with pytest.raises(UsageError, match="a crop of 5 pixels"):
        CenterCrop(5)(torch.rand(1, 1, 4, 4))


def test_attacks_refuse_what_bounds_refuse():
    net, x_BCHW = net_of(), random_images(0, 2)
    for labels, words in (([0, -1], "got -1..0"), ([0, 3], "got 0..3"), ([0], "shape")):
        with pytest.raises(UsageError, match=words):
            zoo.attack(net, x_BCHW, torch.tensor(labels), 0.1, steps=1)
    y_B = torch.tensor([0, 1])
    with pytest.raises(UsageError, match="its layer Linear"):
        zoo.attack(net, torch.rand(2, 1, 3, 3), y_B, 0.1, steps=1)
    with pytest.raises(UsageError, match="two classes or more"):
        zoo.attack(net_of(1), x_BCHW, y_B * 0, 0.1, steps=1)
    assert len(zoo.attack(net, x_BCHW[:0], y_B[:0], 0.1, steps=1)) == 0


def test_what_fails_for_another_reason_than_its_input_keeps_its_error():
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        logits_of(nn.Sequential(Crowded()), random_images(0, 2))
    with pytest.raises(KeyError), fitting(net_of(), [], random_images(0, 2)):
        raise KeyError


@pytest.mark.parametrize("name", NAMES)
def test_logits_that_are_no_row_of_classes_are_refused(name):
    x_BCHW, y_B = random_images(0, 2), torch.tensor([0, 0])
    if name == "lipschitz":
        maps, one = nn.Sequential(LpDistConv2d(1, 3, 1)), nn.Sequential(LpDistConv2d(1, 1, 2))
        one.append(nn.Flatten())
        maps.lipschitz = one.lipschitz = 1.0
    else:
        maps, one = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1)), net_of(1)
    refused(name, maps.eval(), x_BCHW, y_B, r"logits must have shape \(B, K\).* \(B, 3, 2, 2\)")
    refused(name, one.eval(), x_BCHW, y_B, r"shape \(B, 1\): margins need two classes")


def test_rows_behind_a_last_layer_that_keeps_the_image_are_refused():
    """Where the last layer is fully connected its weight says K, but not of what shape it is."""
    for name in ("interval", "crown", "cap_projected", "hbox"):
        words = r"logits must have shape \(B, K\).* \(B, 1, 1, 3\)"
        refused(
            name, nn.Sequential(nn.Linear(4, 3)).eval(), torch.rand(2, 1, 1, 4), _zeros(), words
        )


def _zeros() -> Tensor:
    return torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize("name", [*SEARCHED, "crown", "interval", "triangle"])
def test_certificates_are_the_same_in_inference_mode(name):
    def made() -> tuple[nn.Module, Tensor, Tensor]:
        torch.manual_seed(0)
        # Of an average the transpose is found by a gradient.
        net = nn.Sequential(nn.AvgPool2d(1), *net_of()).eval()
        return net, random_images(0, 3), torch.tensor([0, 1, 2])

    wanted = zoo.certify(*made(), 0.1, bound=name).margin_B
    outside = made()
    with torch.inference_mode():
        inside = made()
        found = [zoo.certify(*each, 0.1, bound=name).margin_B for each in (outside, inside)]
    found.append(zoo.certify(*inside, 0.1, bound=name).margin_B)
    assert all(torch.equal(each, wanted) for each in found)


@pytest.mark.parametrize("name", SEARCHED)
def test_margins_that_need_gradients_say_so_in_inference_mode(name):
    net, x_BCHW, y_B = net_of(), random_images(0, 2), torch.tensor([0, 1])
    for eps in (0.1, 0.3):
        with torch.inference_mode(), pytest.raises(UsageError, match=r"torch.no_grad\(\)"):
            bounds[name]()(net, box(x_BCHW, eps), y_B)
        with torch.no_grad():
            lower_BK = bounds[name]()(net, box(x_BCHW, eps), y_B)
            assert (lower_BK <= margins_of(net(x_BCHW), y_B) + 1e-6).all()
    with torch.inference_mode(), pytest.raises(UsageError, match="an attack by gradients"):
        zoo.attack(net, x_BCHW, net(x_BCHW).argmax(1), 0.1)


def test_the_triangle_bound_refuses_programs_that_take_minutes():
    torch.manual_seed(0)
    net = timm.create_model("conv1", in_chans=1, img_size=28).eval()
    x_BCHW, y_B = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    words = r"small nets: for one image 9 linear .* 371,048 terms and [\d,]+ open .*\n.*alpha_crown"
    for ask in asked("triangle", net, x_BCHW, y_B):
        with pytest.raises(UsageError, match=words):
            ask()
