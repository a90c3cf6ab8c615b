"""Pixels: exact values, batches, hashes and statistics.

Shapes: N images, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import data_fixtures as fx
from zoo.data.pixels import Pixels, level_table
from zoo.data.statistics import pixel_statistics
from zoo.errors import UsageError

quick = settings(max_examples=25, deadline=None, database=None)


def make_pixels(n: int = 6, seed: int = 0, levels: int = 255) -> Pixels:
    x_NCHW = torch.from_numpy(fx.random_images(n, (2, 3, 4), seed))
    return Pixels("made", "test", x_NCHW, torch.arange(n) % 3, 3, (0.5, 0.5), 0.25, levels)


@pytest.mark.parametrize("levels", [16, 255])
def test_table_is_the_rounded_quotient(levels: int) -> None:
    expected = (np.arange(256, dtype=np.float64) / levels).astype(np.float32)
    assert np.array_equal(level_table(levels).numpy(), expected)


@quick
@given(st.lists(st.integers(0, 5), max_size=9), st.sampled_from([16, 255]))
def test_batch(indices: list[int], levels: int) -> None:
    data = make_pixels(levels=levels)
    x_BCHW, y_B = data.batch(torch.tensor(indices, dtype=torch.int64))
    expected = (data.x_NCHW.numpy()[indices].astype(np.float64) / levels).astype(np.float32)
    assert x_BCHW.dtype == torch.float32 and np.array_equal(x_BCHW.numpy(), expected)
    assert y_B.tolist() == [i % 3 for i in indices]


def test_take_and_to() -> None:
    data = make_pixels()
    assert len(data.take(0).sha256) == 64 and len(data.take(2)) == 2
    assert torch.equal(data.take(2).x_NCHW, data.x_NCHW[:2])
    assert data.take(100).sha256 == data.to("cpu").sha256 == data.sha256
    with pytest.raises(UsageError, match="cannot take -1"):
        data.take(-1)


@quick
@given(st.integers(0, 6 * 2 * 3 * 4 - 1), st.integers(0, 5))
def test_sha256_sees_one_pixel_and_one_label(pixel: int, label: int) -> None:
    data, other_pixel, other_label = make_pixels(), make_pixels(), make_pixels()
    other_pixel.x_NCHW.flatten()[pixel] ^= 1
    other_label.y_N[label] += 1
    swapped = Pixels("made", "test", data.x_NCHW.mT.contiguous(), data.y_N, 3, (0, 0), 1)
    hashes = {data.sha256, other_pixel.sha256, other_label.sha256, swapped.sha256}
    assert len(hashes) == 4 and make_pixels().sha256 == data.sha256


@quick
@given(st.integers(1, 5), st.integers(0, 99))
def test_statistics(n: int, seed: int) -> None:
    x_NCHW = fx.random_images(n, (3, 4, 5), seed)
    mean, std = pixel_statistics(torch.from_numpy(x_NCHW), 255)
    assert mean == pytest.approx(x_NCHW.mean((0, 2, 3)) / 255)
    assert std == pytest.approx(np.sqrt(x_NCHW.var((0, 2, 3)).mean()) / 255)


def test_statistics_of_constant_images() -> None:
    assert pixel_statistics(torch.full((2, 1, 3, 3), 16, dtype=torch.uint8), 16) == ((1.0,), 1.0)
