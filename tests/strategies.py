"""Hypothesis strategies that more than one test file draws from."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

any_eps = st.one_of(
    st.fractions(0, 1),
    st.integers(0, 255).map(lambda n: Fraction(n, 255)),
    st.decimals(0, 1, places=6).map(Fraction),
)
