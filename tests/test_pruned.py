"""Pruned layers and nets: their ops, their certificates, and pruning itself.

Shapes: B batch, C/H/W image, O out features, I in features, E edges.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given

from tests.op_cases import (
    SHAPES,
    box_operands,
    edges_of,
    operands,
    quick,
    random_edges,
    seeds,
    sizes,
)
from zoo.certification import certify
from zoo.errors import IntegrityError, UsageError
from zoo.layers import PrunedLinfDistLinear
from zoo.models import LinfDistMLP, prune, unfold
from zoo.ops import linf_dist, linf_dist_bounds, linf_dist_sparse, linf_dist_sparse_bounds
from zoo.rounding import unit_roundoff
from zoo.rules import Rounded, forward_error, interval

# ---------------------------------------------------------------------------------------------- ops


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_pruned_distance_is_the_full_one_over_the_kept_edges_bit_for_bit(shape, dtype):
    x_BI, w_OI = operands(shape, dtype=dtype)
    value_E, index_E, start = edges = random_edges(shape, dtype=dtype)
    for o in range(shape[1]):
        e = slice(int(start[o]), int(start[o + 1]))
        full_B1 = linf_dist(x_BI[:, index_E[e].long()], value_E[None, e])
        assert torch.equal(linf_dist_sparse(x_BI, *edges)[:, o], full_B1[:, 0])
    everything = edges_of(w_OI, torch.ones_like(w_OI, dtype=torch.bool))
    assert torch.equal(linf_dist_sparse(x_BI, *everything), linf_dist(x_BI, w_OI))


@pytest.mark.parametrize("shape", SHAPES)
def test_pruned_bounds_are_the_full_ones_over_the_kept_edges_bit_for_bit(shape):
    lower_BI, upper_BI, _ = box_operands(shape)
    value_E, index_E, start = edges = random_edges(shape)
    for o in range(shape[1]):
        e = slice(int(start[o]), int(start[o + 1]))
        at_e = index_E[e].long()
        full = linf_dist_bounds(lower_BI[:, at_e], upper_BI[:, at_e], value_E[None, e])
        for got_BO, want_B1 in zip(
            linf_dist_sparse_bounds(lower_BI, upper_BI, *edges), full, strict=True
        ):
            assert torch.equal(got_BO[:, o], want_B1[:, 0])


@quick
@given(sizes, seeds)
def test_kernels_and_reference_agree_to_the_bit_and_on_the_first_winner(shape, seed):
    g = torch.Generator().manual_seed(seed)
    x_BI = torch.randint(-2, 3, (shape[0], shape[2]), generator=g).float()  # ties everywhere
    value_E, index_E, start = random_edges(shape, seed)
    edges = value_E.round(), index_E, start
    for name in ("linf_dist_sparse", "linf_dist_sparse_argmax"):
        got = getattr(torch.ops.zoo, name)(x_BI, *edges)
        want = getattr(torch.ops.zoo, f"{name}_reference")(x_BI, *edges)
        for a, b in zip(*((r,) if torch.is_tensor(r) else r for r in (got, want)), strict=True):
            assert torch.equal(a, b)


def test_the_gradient_passes_gradcheck():
    x_BI, _ = operands((3, 4, 6), dtype=torch.float64)
    value_E, index_E, start = random_edges((3, 4, 6), dtype=torch.float64)
    leaves = x_BI.requires_grad_(), value_E.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, v: linf_dist_sparse(x, v, index_E, start), leaves)


@pytest.mark.parametrize("at", [0, 3])
def test_nan_gives_nan_where_an_edge_meets_it(at):
    x_BI, _ = operands((2, 3, 4))
    x_BI[1, at] = math.nan
    value_E = torch.zeros(4)
    index_E, start = torch.tensor([0, 1, 3, 2]).to(torch.uint16), torch.tensor([0, 1, 3, 4]).int()
    met = {0: [True, False, False], 3: [False, True, False]}[at]
    assert linf_dist_sparse(x_BI, value_E, index_E, start).isnan().tolist() == [[False] * 3, met]


@pytest.mark.parametrize(
    ("index", "start"),
    [
        ([0, 9, 1], [0, 1, 3]),  # beyond the inputs
        ([0, 1, 2], [0, 1, 4]),  # beyond the edges
        ([0, 1, 2], [1, 2, 3]),
        ([0, 1, 2], [0, 0, 3]),  # an output without an edge
        ([0, 1, 2], [0, 4, 3]),
        ([0, 1, 2], [0, -1, 3]),
    ],
)
def test_edges_that_point_outside_are_refused_before_anything_is_read(index, start):
    edges = torch.zeros(3), torch.tensor(index).to(torch.uint16), torch.tensor(start).int()
    with pytest.raises((UsageError, RuntimeError), match="linf_dist_sparse: "):
        linf_dist_sparse(torch.zeros(2, 4), *edges)
    layer = PrunedLinfDistLinear(4, 2, 3).eval()
    layer.index_E.copy_(edges[1])
    layer.start.copy_(edges[2])
    net = torch.nn.Sequential(torch.nn.Flatten(), layer).eval()
    with pytest.raises(UsageError, match="cannot certify: layer 1"):
        certify(net, torch.zeros(1, 1, 2, 2), torch.zeros(1).long(), 0.1, bound="interval")


def test_operands_of_other_types_and_shapes_are_refused():
    value_E, index_E, start = random_edges((2, 3, 4))
    x_BI = torch.zeros(2, 4)
    for bad in (
        (x_BI.double(), value_E, index_E, start),
        (x_BI, value_E, index_E.int(), start),
        (x_BI, value_E, index_E, start.long()),
        (x_BI[0], value_E, index_E, start),
        (x_BI, value_E[1:], index_E, start),
    ):
        with pytest.raises(UsageError, match="linf_dist_sparse: needs"):
            linf_dist_sparse(*bad)


# ---------------------------------------------------------------------------------------- the layer


def small_net(seed: int = 0) -> tuple[LinfDistMLP, torch.Tensor]:
    torch.manual_seed(seed)
    net = LinfDistMLP(3, width=20, num_classes=4, in_chans=1, img_size=4, folded=True)
    with torch.no_grad():
        for layer in net.layers:
            if hasattr(layer, "weight"):
                layer.weight.normal_(std=0.5)
                layer.bias.normal_(std=0.1)
    return net.eval(), torch.rand(30, 1, 4, 4)


@quick
@given(seeds)
def test_every_image_of_a_box_lies_in_a_pruned_layer_s_interval(seed):
    net, x_BCHW = small_net(seed % 1000)
    layer = next(m for m in prune(net, [x_BCHW]).modules() if isinstance(m, PrunedLinfDistLinear))
    lower_BI, upper_BI, _ = box_operands((10, 20, 16), seed)
    lower_BO, upper_BO = interval(layer, lower_BI, upper_BI)
    g = torch.Generator().manual_seed(seed)
    for _ in range(20):
        t_BI = torch.rand(lower_BI.shape, generator=g).round()  # corners, then a point inside
        y_BO = layer(torch.where(t_BI > 0, upper_BI, lower_BI))
        assert (lower_BO <= y_BO).all() and (y_BO <= upper_BO).all()


@quick
@given(seeds)
def test_the_float32_layer_is_within_its_forward_error_of_the_float64_one(seed):
    net, x_BCHW = small_net(seed % 1000)
    layer = next(m for m in prune(net, [x_BCHW]).modules() if isinstance(m, PrunedLinfDistLinear))
    x_BI, _ = operands((10, 20, 16), seed)
    rounded = Rounded(x_BI, torch.zeros((), dtype=torch.float64), 0)
    got = forward_error(layer, rounded, unit_roundoff(torch.float32))
    exact_BO = layer.double()(x_BI.double())
    assert ((got.value.double() - exact_BO).abs() <= got.error).all()
    assert got.num_roundings == 2


# --------------------------------------------------------------------------------------- whole nets


def test_on_the_images_it_was_pruned_by_a_net_keeps_its_bits():
    net, x_BCHW = small_net()
    pruned = prune(net, x_BCHW.split(7))
    assert torch.equal(pruned(x_BCHW), net(x_BCHW))
    full = sum(layer.weight.numel() for layer in net.layers if hasattr(layer, "weight"))
    assert sum(pruned.config["edges"]) < full / 2


def test_every_kept_edge_wins_somewhere():
    net, x_BCHW = small_net()
    pruned = prune(net, [x_BCHW])
    h_BI = x_BCHW
    for layer in pruned.layers:
        if isinstance(layer, PrunedLinfDistLinear):
            edges = layer.weight_E.detach(), layer.index_E, layer.start
            _, edge_BO = torch.ops.zoo.linf_dist_sparse_argmax(h_BI, *edges)
            assert set(edge_BO.flatten().tolist()) == set(range(len(layer.weight_E)))
        h_BI = layer(h_BI)


@pytest.mark.parametrize("bound", ["lipschitz", "interval"])
def test_no_corner_of_the_box_breaks_a_pruned_net_s_certificate(bound):
    net, x_BCHW = small_net()
    pruned = prune(net, [x_BCHW])
    eps = 0.02
    y_B = pruned(x_BCHW).argmax(1)
    certificate = certify(pruned, x_BCHW, y_B, eps, bound=bound)
    assert 0 < certificate.certified_B.sum()
    g = torch.Generator().manual_seed(0)
    for _ in range(200):
        corner_BCHW = (x_BCHW + eps * torch.randn(x_BCHW.shape, generator=g).sign()).clamp(0, 1)
        kept_B = pruned(corner_BCHW).argmax(1) == y_B
        assert kept_B[certificate.certified_B].all()


def test_a_wrong_edge_makes_a_net_whose_certificate_is_its_own():
    """The claim of the full net must not be carried over: here it would be wrong."""
    net, x_BCHW = small_net()
    pruned = prune(net, [x_BCHW[:1]])
    assert not torch.equal(pruned(x_BCHW), net(x_BCHW))
    y_B = pruned(x_BCHW).argmax(1)
    mine = certify(pruned, x_BCHW, y_B, 0.01)
    assert mine.clean_B.all()


def test_what_cannot_be_pruned_is_refused():
    net, x_BCHW = small_net()
    pruned = prune(net, [x_BCHW])
    trainable = LinfDistMLP(3, width=20, num_classes=4, in_chans=1, img_size=4)
    for bad in (pruned, trainable):
        with pytest.raises(UsageError, match="prune takes a folded net"):
            prune(bad, [x_BCHW])
    with pytest.raises(UsageError, match="needs images"):
        prune(net, [])
    with pytest.raises(UsageError, match="no training form"):
        unfold(pruned, 0.0, 1.0)


@pytest.mark.parametrize(
    "arguments", [{"edges": [5, 5]}, {"edges": [5, 5, 0]}, {"edges": [5] * 3, "folded": False}]
)
def test_edges_that_do_not_fit_a_net_are_refused(arguments):
    with pytest.raises(UsageError, match="edges are those of the 3 layers"):
        LinfDistMLP(3, width=4, img_size=4, **({"folded": True} | arguments))


def test_a_file_with_edges_that_point_outside_is_never_certified(tmp_path):
    net, x_BCHW = small_net()
    pruned = prune(net, [x_BCHW])
    layer = next(m for m in pruned.modules() if isinstance(m, PrunedLinfDistLinear))
    layer.index_E[0] = 60_000
    with pytest.raises((UsageError, IntegrityError), match="beyond the 16 inputs"):
        certify(pruned, x_BCHW, torch.zeros(30).long(), 0.01)
