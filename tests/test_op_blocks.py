"""Blocks of pairs: each pair once, no bit changed, memory bounded.

Shapes: B batch, O out features, I in features.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.op_cases import box_operands, grads, operands, same_bits
from zoo.ops import blocks as blocks_module
from zoo.ops import linf_dist, linf_dist_bounds, lp_dist
from zoo.ops.blocks import blocks


def with_blocks_of(elements: int) -> pytest.MonkeyPatch:
    """Cap on a block's size; undo() restores it (hypothesis forbids the fixture)."""
    patch = pytest.MonkeyPatch()
    patch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    return patch


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 300))
def test_blocks_tile_the_pairs_once_and_stay_within_their_size(num_b, num_o, num_i, elements):
    patch = with_blocks_of(elements)
    try:
        count_BO = np.zeros((num_b, num_o), int)
        for b, o in blocks(torch.zeros(num_b, num_i), torch.zeros(num_o, num_i)):
            count_BO[b, o] += 1
            # one pair is the least that a block can hold
            assert count_BO[b, o].size * num_i <= max(elements, num_i)
        assert (count_BO == 1).all()
    finally:
        patch.undo()


@pytest.mark.parametrize("elements", [1, 2, 7, 40, 200])
def test_block_size_changes_no_bit_at_p_inf(elements, monkeypatch):
    x_BI, w_OI = operands((9, 11, 5))
    lower_BI, upper_BI, _ = box_operands((9, 11, 5))
    grad_BO = torch.randn(9, 11)

    def everything():
        yield linf_dist(x_BI, w_OI)
        yield linf_dist(x_BI.clone().requires_grad_(), w_OI).detach()
        yield from linf_dist_bounds(lower_BI, upper_BI, w_OI)
        yield from grads(linf_dist, grad_BO, x_BI, w_OI)

    whole = list(everything())
    monkeypatch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    assert len(list(blocks(x_BI, w_OI))) > 1
    assert all(same_bits(a, b) for a, b in zip(everything(), whole, strict=True))


@pytest.mark.parametrize("elements", [1, 7, 40, 200])
@pytest.mark.parametrize("p", [1, 3.7, 100])
def test_block_size_changes_finite_p_by_rounding_only(p, elements, monkeypatch):
    x_BI, w_OI = operands((9, 11, 5))
    lower_BI, upper_BI, _ = box_operands((9, 11, 5))
    grad_BO = torch.randn(9, 11)

    def everything():
        yield lp_dist(x_BI, w_OI, p)
        yield from grads(lambda x, w: lp_dist(x, w, p), grad_BO, x_BI, w_OI)
        # the sums of the bounds' gradients run over the blocks too
        yield from grads(lambda *box: linf_dist_bounds(*box)[0], grad_BO, lower_BI, upper_BI, w_OI)
        yield from grads(lambda *box: linf_dist_bounds(*box)[1], grad_BO, lower_BI, upper_BI, w_OI)

    whole = list(everything())
    monkeypatch.setitem(blocks_module._BLOCK_ELEMENTS, "cpu", elements)
    for a, b in zip(everything(), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


PEAK = """
import resource, torch
from zoo.ops import blocks, linf_dist, linf_dist_bounds, lp_dist
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def run(num_b, num_o, num_i):
    x, w = torch.randn(num_b, num_i), torch.randn(num_o, num_i)
    linf_dist(x, w)
    x.requires_grad_(), w.requires_grad_()
    linf_dist(x, w).sum().backward()
    lp_dist(x, w, 2.0).sum().backward()
    sum(linf_dist_bounds(x - 1, x + 1, w)).sum().backward()
blocks._BLOCK_ELEMENTS["cpu"] = 2**16
run(8, 8, 8)
before = peak()
run(256, 256, 512)
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_product_of_the_sizes():
    result = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=120
    )
    # one float32 tensor (B, O, I) is 128 MiB; the blocks' temporaries are 1/4 MiB each
    assert int(result.stdout) < 60 * 2**20
