"""What holds for every op: shapes, refusals, torch.library, compile and autocast.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.op_cases import box_operands, each_op, grads, operands, random_edges, same_bits
from zoo.errors import UsageError
from zoo.ops import linf_dist_bounds, lp_dist, order_weights

# ---------------------------------------------------------------------------------- shapes, errors


@each_op
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1)])
def test_an_empty_batch_or_layer_gives_an_empty_result_and_zero_gradients(name, op, shape):
    x_BI, w_OI = operands(shape)
    assert op(x_BI, w_OI).shape == shape[:2]
    grad_x_BI, grad_w_OI = grads(op, torch.zeros(shape[:2]), x_BI, w_OI)
    assert grad_x_BI.shape == x_BI.shape and grad_w_OI.shape == w_OI.shape
    assert (grad_x_BI == 0).all() and (grad_w_OI == 0).all()


@each_op
@pytest.mark.parametrize(
    ("x", "w"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4)),
        (torch.zeros(3), torch.zeros(2, 3)),
        (torch.zeros(2, 3), torch.zeros(3)),
        (torch.zeros(2, 3, 1), torch.zeros(2, 3)),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.float64)),
        (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)),
        (torch.zeros(2, 3), torch.zeros(2, 3, device="meta")),
        (torch.zeros(2, 0), torch.zeros(2, 0)),
    ],
)
def test_operands_that_do_not_fit_are_refused_by_the_op_s_name(name, op, x, w):
    with pytest.raises(UsageError, match=rf"^{name}: "):
        op(x, w)


@pytest.mark.parametrize("p", [0, 0.5, -1, -math.inf, math.nan])
def test_an_exponent_below_one_is_refused(p):
    with pytest.raises(UsageError, match="p must be at least 1"):
        lp_dist(torch.zeros(1, 2), torch.zeros(1, 2), p)


# ------------------------------------------------------------------------------------------- torch


def op_samples() -> dict[str, list[tuple]]:
    """Arguments for every op in the zoo's namespace."""
    samples: dict[str, list[tuple]] = {}
    for shape in (3, 4, 5), (0, 2, 3), (1, 1, 1):
        x_BI, w_OI = operands(shape)
        box = box_operands(shape)
        grad_BO = torch.randn(shape[:2])
        at_BO = torch.zeros(shape[:2], dtype=torch.int32)
        leaves = [t.clone().requires_grad_() for t in (x_BI, w_OI)]
        box_leaves = [t.clone().requires_grad_() for t in box]
        edges = random_edges(shape)
        edge_leaves = [t.clone().requires_grad_() for t in (x_BI, edges[0])]
        v_K = torch.tensor(order_weights(0.4, min(3, shape[2])))
        forms = [torch.randn(shape), *torch.randn(4, shape[0], 1, shape[2])]
        form_leaves = [t.clone().requires_grad_() for t in forms]
        for name, arguments in {
            "linf_dist": (x_BI, w_OI),
            "linf_dist_argmax": (*leaves,),
            "linf_dist_backward": (grad_BO, x_BI, w_OI, at_BO),
            "lp_dist": (*leaves, 3.0),
            "lp_dist_backward": (grad_BO, x_BI, w_OI, lp_dist(x_BI, w_OI, 3.0), 3.0, True, True),
            "linf_dist_bounds": (*box_leaves,),
            "linf_dist_bounds_backward": (grad_BO, grad_BO, *box),
            "sort_dist": (*leaves, v_K),
            "sort_dist_at": (x_BI, w_OI, len(v_K)),
            "order_dist_bounds": (*box, v_K),
            "sort_dist_backward": (grad_BO, x_BI, w_OI, v_K),
            "linf_dist_sparse": (x_BI, *edges),
            "linf_dist_sparse_argmax": (*edge_leaves, *edges[1:]),
            "linf_dist_sparse_backward": (grad_BO, x_BI, *edges[:2], at_BO),
            "linf_dist_sparse_bounds": (*box[:2], *edges),
            "pull_lines": (*form_leaves,),
            "pull_lines_backward": (forms[0], forms[0].sum(2), *forms),
            "relu_chord": (*box_leaves[:2],),
            "relu_chord_backward": (box[0], *box[:2]),
            "relu_offsets": (*leaves[:1], *leaves[:1], *box_leaves[:2]),
            "relu_offsets_backward": (*box[:2], x_BI, x_BI, *box[:2]),
        }.items():
            samples.setdefault(name, []).append(arguments)
    return samples


def registered_ops() -> set[str]:
    names = torch._C._dispatch_get_all_op_names()
    ours = {name.removeprefix("zoo::") for name in names if name.startswith("zoo::")}
    return {name for name in ours if not name.endswith("_reference")}


def test_every_registered_op_has_samples():
    assert registered_ops() == set(op_samples())


# torch's own checker reads .grad of tensors that are not leaves
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", op_samples())
def test_opcheck_passes(name):
    for arguments in op_samples()[name]:
        torch.library.opcheck(getattr(torch.ops.zoo, name).default, arguments)


@pytest.mark.parametrize("p", [3.7, math.inf])
def test_compiled_lp_dist_equals_eager_with_its_gradients(p):
    def loss(x_BI, w_OI):
        return (lp_dist(x_BI, w_OI, p) ** 2).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    x_BI, w_OI = operands((4, 3, 6))
    one = torch.ones(())
    assert torch.equal(compiled(x_BI, w_OI), loss(x_BI, w_OI))
    for a, b in zip(grads(compiled, one, x_BI, w_OI), grads(loss, one, x_BI, w_OI), strict=True):
        assert torch.equal(a, b)


def test_compiled_bounds_equal_eager():
    compiled = torch.compile(linf_dist_bounds, fullgraph=True, backend="aot_eager")
    box = box_operands((4, 3, 6))
    for a, b in zip(compiled(*box), linf_dist_bounds(*box), strict=True):
        assert torch.equal(a, b)


@each_op
def test_autocast_leaves_float32_distances_alone(name, op):
    x_BI, w_OI = operands((4, 3, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BO = op(x_BI, w_OI)
    assert same_bits(y_BO, op(x_BI, w_OI))


@each_op
def test_autocast_computes_half_precision_operands_in_float32(name, op):
    x_BI, w_OI = (tensor.bfloat16() for tensor in operands((4, 3, 6)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_BO = op(x_BI, w_OI)
    assert same_bits(y_BO, op(x_BI.float(), w_OI.float()))


@each_op
def test_autocast_takes_the_output_of_a_half_precision_layer(name, op):
    x_BI, w_OI = operands((4, 3, 6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h_BI = nn.Linear(6, 6)(x_BI)
        assert h_BI.dtype == torch.bfloat16
        assert op(h_BI, w_OI).dtype == torch.float32
