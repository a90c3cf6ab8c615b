"""Margins: differences to the label, the worst of them, and NaN.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.margins import margins_of, worst

quick = settings(max_examples=200, deadline=None, derandomize=True)


def test_margins_are_differences_to_the_label_with_its_column_zero():
    logits_BK = torch.tensor([[1.0, 4.0, 2.0], [0.5, 0.0, -1.0]])
    margins_BK = margins_of(logits_BK, torch.tensor([1, 2]))
    assert margins_BK.tolist() == [[3.0, 0.0, 2.0], [-1.5, -1.0, 0.0]]


@quick
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            st.integers(0, k - 1), st.lists(st.floats(-9, 9, width=32), min_size=k, max_size=k)
        )
    )
)
def test_worst_is_the_least_margin_over_the_wrong_classes(case):
    label, margins = case
    wrong = [m for k, m in enumerate(margins) if k != label]
    assert worst(torch.tensor([margins]), torch.tensor([label])).item() == min(wrong)


@pytest.mark.parametrize("own", [0.0, -5.0, math.nan])
def test_worst_never_reads_the_label_s_own_column(own):
    margins_BK = torch.tensor([[own, 3.0, 2.0], [4.0, own, 5.0]])
    assert worst(margins_BK, torch.tensor([0, 1])).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_nan_margin_of_a_wrong_class_makes_the_worst_nan(at):
    margins_BK = torch.ones(2, 4)
    margins_BK[0, at] = math.nan
    assert worst(margins_BK, torch.tensor([1, 1])).isnan().tolist() == [True, False]


def test_a_nan_logit_anywhere_makes_the_worst_margin_nan():
    for at in range(3):
        logits_BK = torch.zeros(1, 3)
        logits_BK[0, at] = math.nan
        y_B = torch.tensor([1])
        assert worst(margins_of(logits_BK, y_B), y_B).isnan().item()
