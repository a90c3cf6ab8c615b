"""Data: splits, exact pixels, order, augmentation, the user's own files, and every error message.

Shapes: N images, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import data_fixtures as fx
from zoo.data.augment import Augment
from zoo.data.load import load_data
from zoo.data.names import DATASETS, PATH_SOURCES, check_data_name, data_root
from zoo.data.order import epoch_order
from zoo.data.pixels import Pixels, level_table
from zoo.data.sources import sources
from zoo.data.splits import SPLITS
from zoo.data.statistics import pixel_statistics
from zoo.errors import IntegrityError, NotFoundError, UsageError

quick = settings(max_examples=25, deadline=None, database=None)


def make_pixels(n: int = 6, seed: int = 0, levels: int = 255) -> Pixels:
    x_NCHW = torch.from_numpy(fx.random_images(n, (2, 3, 4), seed))
    return Pixels("made", "test", x_NCHW, torch.arange(n) % 3, 3, (0.5, 0.5), 0.25, levels)


@pytest.fixture
def offline_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, with downloads switched off."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    return tmp_path / "data"


def assert_splits_whole(name: str) -> None:
    """Train and validation are disjoint parts that make up the whole training set."""
    train, validation, both = (load_data(name, split) for split in SPLITS if split != "test")
    assert torch.equal(torch.cat([train.x_NCHW, validation.x_NCHW]), both.x_NCHW)
    assert torch.equal(torch.cat([train.y_N, validation.y_N]), both.y_N)
    assert train.mean == validation.mean == both.mean == load_data(name, "test").mean


# Names.


def test_names_match_sources() -> None:
    assert set(sources) == {*DATASETS, *PATH_SOURCES}
    for name in (*DATASETS, "folder:/a:b", "parquet:x"):
        assert check_data_name(name) == name


@pytest.mark.parametrize("name", ["mnits", "folder:", "parquet", "digits:3", "folders:x", ""])
def test_unknown_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown dataset .*\n[^$]*see all: +zoo certify --help"):
        load_data(name)


def test_name_and_split_suggestions() -> None:
    with pytest.raises(UsageError, match="did you mean: mnist"):
        check_data_name("mnits")
    with pytest.raises(UsageError, match="unknown split 'tests'\n  did you mean: test"):
        load_data("digits", "tests")


def test_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", "~/x")
    assert data_root() == Path.home() / "x"
    monkeypatch.setenv("ZOO_DATA", "")
    assert data_root() == Path.home() / ".cache/zoo/data"


def test_names_need_no_torch() -> None:
    code = "import sys, zoo.data, zoo.data.names; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# Pixels.


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


# Order and augmentation.


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


# Digits.


def test_digits() -> None:
    from sklearn.datasets import load_digits

    assert_splits_whole("digits")
    both, test = load_data("digits", "train+validation"), load_data("digits")
    pixels, labels = load_digits(return_X_y=True)
    x_NCHW = torch.cat([both.x_NCHW, test.x_NCHW])
    assert np.array_equal(x_NCHW.numpy(), pixels.reshape(-1, 1, 8, 8))
    assert np.array_equal(torch.cat([both.y_N, test.y_N]).numpy(), labels)
    train = load_data("digits", "train")
    assert (len(train), len(both), len(test)) == (1257, 1437, 360)
    mean, std = pixel_statistics(train.x_NCHW, train.levels)
    assert tuple(round(value, 4) for value in mean) == train.mean and round(std, 4) == train.std
    assert test.batch(torch.arange(360))[0].max() == 1


# The user's own files.


@pytest.mark.parametrize("source", ["folder", "parquet"])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_own_files_round_trip(tmp_path: Path, source: str, shape: tuple[int, ...]) -> None:
    write = fx.write_folder if source == "folder" else fx.write_parquet
    suffix = "" if source == "folder" else "-0-of-1.parquet"
    train, test = fx.random_images(25, shape), fx.random_images(7, shape, seed=1)
    write(tmp_path / f"train{suffix}", train, [0] * 20 + [1] * 5)
    write(tmp_path / f"test{suffix}", test, [0] * 5 + [1] * 2)
    name = f"{source}:{tmp_path}"
    assert_splits_whole(name)

    held_out = [9, 19]
    data = {split: load_data(name, split) for split in SPLITS}
    expected = {"validation": train[held_out], "train": np.delete(train, held_out, 0), "test": test}
    for split, images in expected.items():
        nhwc = data[split].x_NCHW.permute(0, 2, 3, 1).numpy()
        assert np.array_equal(nhwc, images.reshape(nhwc.shape))
    assert data["test"].y_N.tolist() == [0] * 5 + [1] * 2 and data["test"].num_classes == 2
    assert (data["test"].mean, data["test"].std) == pixel_statistics(data["train"].x_NCHW)


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_own_test_split_only(tmp_path: Path, source: str) -> None:
    images = fx.random_images(3, (4, 4))
    path = tmp_path if source == "folder" else tmp_path / "any.parquet"
    (fx.write_folder if source == "folder" else fx.write_parquet)(path, images, [0, 1, 2])
    data = load_data(f"{source}:{path}")
    assert np.array_equal(data.x_NCHW[:, 0].numpy(), images) and data.num_classes == 3
    assert (data.mean, data.std) == pixel_statistics(data.x_NCHW)
    with pytest.raises(NotFoundError, match="has no images for the split 'train'\n  it has: test"):
        load_data(f"{source}:{path}", "train")


def test_folder_parts_named_val(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "val", "test")):
        fx.write_folder(tmp_path / "three" / part, fx.random_images(i + 1, (4, 4)), [0] * (i + 1))
        if part != "test":
            fx.write_folder(tmp_path / "two" / part, fx.random_images(i + 1, (4, 4)), [0] * (i + 1))
    three, two = f"folder:{tmp_path}/three", f"folder:{tmp_path}/two"
    sizes = [len(load_data(three, split)) for split in SPLITS]
    assert sizes == [1, 2, 3, 3] and len(load_data(two, "test")) == 2


def test_grey_and_colour_together_become_colour(tmp_path: Path) -> None:
    fx.write_folder(tmp_path / "train", fx.random_images(2, (4, 4, 3)), [0, 0])
    grey = fx.random_images(2, (4, 4))
    fx.write_folder(tmp_path / "test", grey, [0, 0])
    x_NCHW = load_data(f"folder:{tmp_path}").x_NCHW.numpy()
    assert all(np.array_equal(x_NCHW[:, channel], grey) for channel in range(3))


def test_parquet_columns_and_classes(tmp_path: Path) -> None:
    # Binary images, other names, more columns, and class names that the rows do not use up.
    features = b'{"info": {"features": {"label": {"names": ["a", "b", "c", "d"]}}}}'
    schema = pa.schema(
        {"image": pa.binary(), "thumb": pa.binary(), "label": pa.int8(), "id": pa.int64()},
        metadata={b"huggingface": features},
    )
    images = fx.random_images(2, (4, 4))
    rows = [{"image": fx.png(x), "thumb": b"", "label": 1, "id": 7} for x in images]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "x.parquet")
    data = load_data(f"parquet:{tmp_path}/x.parquet")
    assert np.array_equal(data.x_NCHW[:, 0].numpy(), images)
    assert data.num_classes == 4 and data.y_N.tolist() == [1, 1]


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no folder .*nowhere"):
        load_data(f"folder:{tmp_path}/nowhere")
    with pytest.raises(NotFoundError, match="has no class folders"):
        load_data(f"folder:{tmp_path}")
    (tmp_path / "empty" / "class0").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="it has: no images at all"):
        load_data(f"folder:{tmp_path}/empty")

    root = tmp_path / "sizes"
    fx.write_folder(root / "train", fx.random_images(2, (4, 4)), [0, 1])
    fx.write_folder(root / "test", fx.random_images(2, (4, 5)), [0, 1])
    with pytest.raises(UsageError, match=r"not of one size: .*test.*0000.png is 5x4, .* 4x4\n"):
        load_data(f"folder:{root}")
    fx.write_folder(root / "validation", fx.random_images(1, (4, 4)), [2])
    with pytest.raises(UsageError, match=r"classes of .* differ: class0, class1, class2"):
        load_data(f"folder:{root}")

    deep, broken = tmp_path / "deep" / "c" / "0.png", tmp_path / "broken" / "c" / "0.png"
    for file in (deep, broken):
        file.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep)
    with pytest.raises(UsageError, match="more than 8 bits"):
        load_data(f"folder:{tmp_path}/deep")
    for content in (b"no image", fx.png(fx.random_images(1, (32, 32))[0])[:-200]):
        broken.write_bytes(content)
        with pytest.raises(IntegrityError, match=r"0.png cannot be decoded"):
            load_data(f"folder:{tmp_path}/broken")


def test_parquet_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no parquet file at"):
        load_data(f"parquet:{tmp_path}")
    file = tmp_path / "data.parquet"
    file.write_bytes(b"PAR1 no")
    with pytest.raises(IntegrityError, match="not a readable parquet file"):
        load_data(f"parquet:{file}")
    with pytest.raises(UsageError, match=r"names its split: data.parquet"):
        load_data(f"parquet:{tmp_path}")
    images = fx.random_images(2, (4, 4))
    fx.write_parquet(file, images, [0, -1])
    with pytest.raises(UsageError, match="negative labels"):
        load_data(f"parquet:{file}")
    fx.write_parquet(file, images, [0, None])
    with pytest.raises(UsageError, match=r"column 'label' .* lacks 1 of 2 values"):
        load_data(f"parquet:{file}")
    pq.write_table(pa.table({"image": [b"x"], "fine": [1], "coarse": [1]}), file)
    with pytest.raises(UsageError, match=r"the label column .*\n.*fine \(int64\), coarse"):
        load_data(f"parquet:{file}")
    pq.write_table(pa.table({"text": ["x"], "label": [1]}), file)
    with pytest.raises(UsageError, match="the image column"):
        load_data(f"parquet:{file}")
    pq.write_table(pa.table({"image": [b"no image"], "label": [1]}), file)
    with pytest.raises(IntegrityError, match=r"data.parquet row 0 cannot be decoded"):
        load_data(f"parquet:{file}")


# Published data sets.


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "svhn"])
def test_absent_and_offline(
    name: str, offline_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    message = f"dataset '{name}' is not in {offline_root / name}\n"
    with pytest.raises(NotFoundError) as error:
        load_data(name)
    assert str(error.value).startswith(message + "  downloads are switched off (ZOO_OFFLINE=1)")
    assert "set ZOO_DATA" in str(error.value) and not offline_root.exists()

    # With downloads on, a file where the folder should be makes each fail before the network.
    monkeypatch.delenv("ZOO_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    offline_root.write_text("")
    with pytest.raises(NotFoundError) as error:
        load_data(name)
    assert str(error.value).startswith(message + "  the download failed: ")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFoundError, match="HF_HUB_OFFLINE=1"):
        load_data(name)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist/MNIST"), ("fashion_mnist", "fashion_mnist/FashionMNIST")]
)
def test_mnist_files(name: str, folder: str, offline_root: Path) -> None:
    raw = offline_root / folder / "raw"
    train, test = fx.random_images(5010, (28, 28)), fx.random_images(4, (28, 28), seed=1)
    fx.write_mnist(raw, "train", train, np.arange(5010) % 10)
    fx.write_mnist(raw, "t10k", test, np.arange(4))
    assert_splits_whole(name)
    assert np.array_equal(load_data(name, "train").x_NCHW[:, 0].numpy(), train[:10])
    assert np.array_equal(load_data(name).x_NCHW[:, 0].numpy(), test)
    assert load_data(name).y_N.tolist() == [0, 1, 2, 3]

    images = raw / "t10k-images-idx3-ubyte"
    for damaged in (images.read_bytes()[:-5], images.read_bytes()[:20], b""):
        images.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=r"cannot be read: .*\n.*delete the folder"):
            load_data(name)


def test_cifar10_files(offline_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    folder = offline_root / "cifar10" / "cifar-10-batches-py"
    images = fx.random_images(5020, (3, 32, 32))
    train = fx.write_cifar_batch(folder / "data_batch_1", images[:5010], [1] * 5010)
    test = fx.write_cifar_batch(folder / "test_batch", images[5010:], range(10))
    meta = folder / "batches.meta"
    fx.write_pickle(meta, {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", train]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", test]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": fx.md5(meta)})
    assert_splits_whole("cifar10")
    data = load_data("cifar10")
    assert np.array_equal(data.x_NCHW.numpy(), images[5010:])
    assert data.y_N.tolist() == list(range(10)) and data.x_NCHW.is_contiguous()


def test_svhn_files(offline_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    offline_root.joinpath("svhn").mkdir(parents=True)
    images = fx.random_images(5020, (3, 32, 32))
    files = {}
    for part, rows in (("train", slice(5010)), ("test", slice(5010, None))):
        file = offline_root / "svhn" / f"{part}_32x32.mat"
        labels = np.arange(1, 11).repeat(501 if part == "train" else 1)
        savemat(file, {"X": images[rows].transpose(2, 3, 1, 0), "y": labels.reshape(-1, 1)})
        files[part] = ["", file.name, fx.md5(file)]
    monkeypatch.setattr(SVHN, "split_list", files)
    assert_splits_whole("svhn")
    data = load_data("svhn")
    assert np.array_equal(data.x_NCHW.numpy(), images[5010:])
    assert data.y_N.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert (data.mean, data.std) == pixel_statistics(load_data("svhn", "train").x_NCHW)


def test_cifar10_jpeg_absent_or_changed(offline_root: Path) -> None:
    with pytest.raises(
        NotFoundError, match=r"'cifar10_jpeg' is not in .*cifar10-jpeg: there is no"
    ):
        load_data("cifar10_jpeg")
    file = offline_root / "cifar10-jpeg" / "test-00000-of-00001.parquet"
    fx.write_parquet(file, fx.random_images(2, (32, 32, 3)), [0, 1])
    with pytest.raises(IntegrityError, match="are not the published ones"):
        load_data("cifar10_jpeg")


def test_real_mnist() -> None:
    if not (data_root() / "mnist" / "MNIST" / "raw").is_dir():
        pytest.skip("ZOO_DATA does not hold mnist")
    test, train = load_data("mnist"), load_data("mnist", "train+validation")
    assert test.x_NCHW.shape == (10_000, 1, 28, 28) and len(train) == 60_000
    assert test.y_N.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    mean, std = pixel_statistics(train.x_NCHW)
    assert (round(mean[0], 4), round(std, 4)) == (train.mean[0], train.std)


def test_real_cifar10_jpeg() -> None:
    if not (data_root() / "cifar10-jpeg").is_dir():
        pytest.skip("ZOO_DATA does not hold cifar10-jpeg")
    test = load_data("cifar10_jpeg")  # raises where the hash is another one
    assert test.x_NCHW.shape == (10_000, 3, 32, 32)
    assert test.y_N.bincount().tolist() == [1000] * 10


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
