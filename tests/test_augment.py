"""Order of an epoch, crops, flips and affine maps: each a function of its seed alone.

Shapes: N images, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests import data_fixtures as fx
from zoo.data.affine import Affine, _draws
from zoo.data.augment import Augment
from zoo.data.load import load_data
from zoo.data.order import epoch_order

quick = settings(max_examples=25, deadline=None, database=None)


# Order.


@quick
@given(st.integers(0, 2**40), st.integers(0, 1000), st.integers(50, 200))
def test_order(seed: int, epoch: int, n: int) -> None:
    idx_N = epoch_order(seed, epoch, n)
    torch.rand(3)  # the global generator has no part in it
    assert torch.equal(idx_N, epoch_order(seed, epoch, n))
    assert torch.equal(idx_N.sort().values, torch.arange(n))
    assert not torch.equal(idx_N, epoch_order(seed, epoch + 1, n))
    assert not torch.equal(idx_N, epoch_order(seed + 1, epoch, n))


def test_order_never_changes() -> None:
    # A run that is resumed elsewhere goes through the same batches.
    assert epoch_order(1, 2, 8).tolist() == [5, 3, 0, 6, 2, 7, 1, 4]


# Crops and flips.


def slow_augment(x_CHW: np.ndarray, top: int, left: int, flip: bool, pad: int) -> np.ndarray:
    padded = np.pad(x_CHW, ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    crop = padded[:, top : top + x_CHW.shape[1], left : left + x_CHW.shape[2]]
    return crop[:, :, ::-1] if flip else crop


@quick
@given(st.integers(0, 3), st.booleans(), st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_augment_is_some_crop_and_flip(
    pad: int, flip: bool, seed: int, epoch: int, as_float: bool
) -> None:
    n = 8
    x_NCHW = torch.from_numpy(fx.random_images(n, (2, 5, 6), seed))
    x_NCHW = x_NCHW.float() if as_float else x_NCHW
    out_NCHW = Augment(pad, flip)(x_NCHW, torch.arange(n), seed=seed, epoch=epoch, n=n)
    assert out_NCHW.dtype == x_NCHW.dtype and out_NCHW.shape == x_NCHW.shape
    for x_CHW, out_CHW in zip(x_NCHW.numpy(), out_NCHW.numpy(), strict=True):
        candidates = [
            slow_augment(x_CHW, top, left, flipped, pad)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            for flipped in {False, flip}
        ]
        assert any(np.array_equal(out_CHW, candidate) for candidate in candidates)


@quick
@given(st.lists(st.integers(0, 19), min_size=1, max_size=8), st.integers(0, 9))
def test_augment_does_not_depend_on_the_batch(indices: list[int], epoch: int) -> None:
    x_NCHW = torch.from_numpy(fx.random_images(20, (1, 6, 6)))
    augment, idx_B = Augment(pad=2, flip=True), torch.tensor(indices)
    whole = augment(x_NCHW, torch.arange(20), seed=3, epoch=epoch, n=20)
    part = augment(x_NCHW[idx_B], idx_B, seed=3, epoch=epoch, n=20)
    assert torch.equal(part, whole[idx_B])


def test_augment_draws_every_outcome_evenly() -> None:
    # One image with all pixels different, many times: count which crop and flip came out.
    n, pad = 6000, 1
    x_CHW = torch.arange(9, dtype=torch.uint8).reshape(1, 3, 3)
    out = Augment(pad, flip=True)(x_CHW.expand(n, 1, 3, 3), torch.arange(n), seed=0, epoch=0, n=n)
    other = Augment(pad, flip=True)(x_CHW.expand(n, 1, 3, 3), torch.arange(n), seed=0, epoch=1, n=n)
    _, counts = out.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 18 and (counts - n / 18).abs().max() < 6 * (n / 18) ** 0.5
    assert not torch.equal(out, other)


def test_augment_that_does_nothing_returns_its_input() -> None:
    x_BCHW = torch.rand(2, 1, 3, 3)
    assert Augment()(x_BCHW, torch.arange(2), seed=0, epoch=0, n=2) is x_BCHW


# Affine maps. A test that wants one map divides it by the draw that its settings are multiplied by.


def only_image(affine: Affine, x_HW: np.ndarray) -> np.ndarray:
    """Augmented float64 image of a split that holds nothing else."""
    x_BCHW = torch.from_numpy(x_HW)[None, None]
    return affine(x_BCHW, torch.arange(1), seed=0, epoch=0, n=1)[0, 0].numpy()


def test_affine_that_does_nothing_returns_its_input() -> None:
    x_BCHW = torch.rand(2, 1, 3, 3)
    assert Affine()(x_BCHW, torch.arange(2), seed=0, epoch=0, n=2) is x_BCHW


def test_affine_is_a_function_of_seed_epoch_and_index() -> None:
    x_NCHW = torch.rand(1, 2, 9, 9, generator=torch.Generator().manual_seed(0)).expand(20, 2, 9, 9)
    affine, idx_N = Affine(rotate=20, shift=2, scale=0.2, shear=10), torch.arange(20)
    out_NCHW = affine(x_NCHW, idx_N, seed=3, epoch=5, n=20)
    torch.rand(3)  # the global generator has no part in it
    assert torch.equal(out_NCHW, affine(x_NCHW, idx_N, seed=3, epoch=5, n=20))
    others = [affine(x_NCHW, idx_N, seed=s, epoch=e, n=20) for s, e in ((4, 5), (3, 6))]
    for one_CHW in (*others[0], *others[1], *out_NCHW[1:]):
        assert (one_CHW - out_NCHW[0]).abs().max() > 1e-3


@quick
@given(st.lists(st.integers(0, 19), min_size=1, max_size=8), st.integers(0, 9))
def test_affine_does_not_depend_on_the_batch(indices: list[int], epoch: int) -> None:
    x_NCHW = torch.rand(20, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    affine, idx_B = Affine(rotate=20, shift=2, scale=0.2, shear=10), torch.tensor(indices)
    whole = affine(x_NCHW, torch.arange(20), seed=3, epoch=epoch, n=20)
    part = affine(x_NCHW[idx_B], idx_B, seed=3, epoch=epoch, n=20)
    # Sums of another order may differ by a rounding; another map would differ by far more.
    torch.testing.assert_close(part, whole[idx_B], rtol=0, atol=1e-5)


@quick
@given(st.floats(0, 180), st.floats(0, 20), st.floats(0, 0.9), st.floats(0, 60), st.integers(0, 9))
def test_affine_stays_in_the_pixel_range(
    rotate: float, shift: float, scale: float, shear: float, seed: int
) -> None:
    x_NCHW = torch.randint(0, 2, (8, 1, 6, 6), generator=torch.Generator().manual_seed(0)).float()
    affine = Affine(rotate, shift, scale, shear)
    out_NCHW = affine(x_NCHW, torch.arange(8), seed=seed, epoch=0, n=8)
    assert out_NCHW.shape == x_NCHW.shape and out_NCHW.dtype == x_NCHW.dtype
    assert out_NCHW.min() >= 0 and out_NCHW.max() <= 1  # false of NaN


@pytest.mark.parametrize("pixels", [-20, -2, 1, 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_affine_shift_by_whole_pixels_repeats_the_edge(pixels: int, axis: int) -> None:
    # The image varies along one axis alone, so that the shift along the other one does nothing.
    line = np.random.default_rng(0).random(7)
    x_HW = np.tile(line, (5, 1)) if axis == 1 else np.tile(line[:, None], (1, 5))
    down, right = _draws(0, 0, 1)[0, [5, 4]].tolist()
    out_HW = only_image(Affine(shift=pixels / (down, right)[axis]), x_HW)
    expected_HW = x_HW.take(np.clip(np.arange(7) + pixels, 0, 6), axis)
    np.testing.assert_allclose(out_HW, expected_HW, rtol=0, atol=1e-6)


@pytest.mark.parametrize("degrees", [-90, -10, 30, 77])
def test_affine_rotation_is_scipy_s(degrees: float) -> None:
    x_HW = np.random.default_rng(0).random((9, 9))
    out_HW = only_image(Affine(rotate=degrees / _draws(0, 0, 1)[0, 0].item()), x_HW)
    expected_HW = ndimage.rotate(x_HW, degrees, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(out_HW, expected_HW, rtol=0, atol=1e-6)


def test_affine_is_scipy_s_map_of_its_draws() -> None:
    x_HW = np.random.default_rng(0).random((8, 8))
    x_NCHW = torch.from_numpy(x_HW).expand(5, 1, 8, 8)
    affine = Affine(rotate=30, shift=2.5, scale=0.2, shear=15)
    out_NCHW = affine(x_NCHW, torch.arange(5), seed=0, epoch=0, n=5)
    for draws_6, out_CHW in zip(_draws(0, 0, 5).tolist(), out_NCHW.numpy(), strict=True):
        angle, shear, wide, high, right, down = draws_6
        cos, sin = math.cos(math.radians(30 * angle)), math.sin(math.radians(30 * angle))
        turn = np.array([[cos, -sin], [sin, cos]])
        slant = np.array([[1, math.tan(math.radians(15 * shear))], [0, 1]])
        of_xy = turn @ slant @ np.diag([1 + 0.2 * wide, 1 + 0.2 * high])
        of_yx, centre = of_xy[::-1, ::-1], np.array([3.5, 3.5])
        offset = centre - of_yx @ centre + 2.5 * np.array([down, right])
        expected_HW = ndimage.affine_transform(x_HW, of_yx, offset, order=1, mode="nearest")
        np.testing.assert_allclose(out_CHW[0], expected_HW, rtol=0, atol=1e-6)


# Devices.


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_bits() -> None:
    data, idx_B = load_data("digits", "train"), epoch_order(0, 0, 1257)[:64]
    on_device = data.to("cuda")
    assert on_device.sha256 == data.sha256
    augment = Augment(pad=2, flip=True)
    results = []
    for split in (data, on_device):
        x_BCHW, y_B = split.batch(idx_B)
        out_BCHW = augment(x_BCHW, idx_B, seed=0, epoch=1, n=len(split))
        results.append((x_BCHW.cpu(), y_B.cpu(), out_BCHW.cpu()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
