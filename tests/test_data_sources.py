"""Data sets by name: names and splits, digits, the published ones, and their errors.

Shapes: N images, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import data_fixtures as fx
from zoo.data.fetch import fetch
from zoo.data.load import load_data
from zoo.data.names import DATASETS, PATH_SOURCES, check_data_name, data_root
from zoo.data.sources import sources
from zoo.data.statistics import pixel_statistics
from zoo.errors import IntegrityError, NotFoundError, UsageError


@pytest.fixture
def offline_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, with downloads switched off."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    return tmp_path / "data"


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


# Digits.


def test_digits() -> None:
    from sklearn.datasets import load_digits

    fx.assert_splits_whole("digits")
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


@pytest.mark.parametrize("left", [[], ["raw/labels.gz"]])
def test_a_failed_download_leaves_no_empty_folders(left, offline_root: Path, monkeypatch) -> None:
    monkeypatch.delenv("ZOO_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def open_files(root: Path, download: bool) -> None:
        if not download:
            raise RuntimeError("Dataset not found")
        (root / "raw" / "parts").mkdir(parents=True)
        for name in left:
            (root / name).write_text("fetched")
        raise OSError("no route")

    with pytest.raises(NotFoundError, match="download failed: OSError: no route"):
        fetch("mnist", open_files)
    root = offline_root / "mnist"
    assert [path for path in root.rglob("*") if path.is_file()] == [root / name for name in left]
    assert root.exists() == bool(left) and not (root / "raw" / "parts").exists()


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist/MNIST"), ("fashion_mnist", "fashion_mnist/FashionMNIST")]
)
def test_mnist_files(name: str, folder: str, offline_root: Path, monkeypatch) -> None:
    monkeypatch.setattr("zoo.data.sources.mnist.check_pinned", lambda *_: None)
    raw = offline_root / folder / "raw"
    train, test = fx.random_images(5010, (28, 28)), fx.random_images(4, (28, 28), seed=1)
    fx.write_mnist(raw, "train", train, np.arange(5010) % 10)
    fx.write_mnist(raw, "t10k", test, np.arange(4))
    fx.assert_splits_whole(name)
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
    fx.assert_splits_whole("cifar10")
    data = load_data("cifar10")
    assert np.array_equal(data.x_NCHW.numpy(), images[5010:])
    assert data.y_N.tolist() == list(range(10)) and data.x_NCHW.is_contiguous()


def write_tiny_imagenet(root: Path, images: np.ndarray) -> None:
    """Two classes: 20 training images, of which one is grey, and 3 test images."""
    (root / "val" / "images").mkdir(parents=True)
    root.joinpath("wnids.txt").write_text("n02\nn01\n")
    for i, image in enumerate(images[:20]):
        folder = root / "train" / ("n02" if i < 10 else "n01") / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:02d}.JPEG").write_bytes(fx.png(image[..., 0] if i == 3 else image))
    lines = []
    for i, image in enumerate(images[20:]):
        (root / "val" / "images" / f"val_{i}.JPEG").write_bytes(fx.png(image))
        lines.append(f"val_{i}.JPEG\t{'n01' if i else 'n02'}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))


def test_tiny_imagenet_files(offline_root: Path) -> None:
    root, images = offline_root / "tiny-imagenet-200", fx.random_images(23, (64, 64, 3))
    write_tiny_imagenet(root, images)
    fx.assert_splits_whole("tiny_imagenet")
    train, test = load_data("tiny_imagenet", "train"), load_data("tiny_imagenet")
    assert train.x_NCHW.shape == (18, 3, 64, 64) and train.num_classes == 2
    assert train.y_N.tolist() == [0] * 9 + [1] * 9 and test.y_N.tolist() == [0, 1, 1]
    assert np.array_equal(test.x_NCHW.permute(0, 2, 3, 1).numpy(), images[20:])
    assert np.array_equal(train.x_NCHW[3, 2].numpy(), images[3, :, :, 0])


def test_tiny_imagenet_says_what_is_wrong(offline_root: Path) -> None:
    root, images = offline_root / "tiny-imagenet-200", fx.random_images(23, (64, 64, 3))
    with pytest.raises(NotFoundError, match=r"no wnids.txt\n.*unpack"):
        load_data("tiny_imagenet")
    write_tiny_imagenet(root, images)
    listed = root / "val" / "val_annotations.txt"
    listed.write_text("../x.JPEG\tn03\t0\n")
    with pytest.raises(IntegrityError, match=r"classes that wnids\.txt has not, 'n03'"):
        load_data("tiny_imagenet")
    listed.unlink()
    with pytest.raises(NotFoundError, match="val_annotations"):
        load_data("tiny_imagenet")
    fx.write_folder(root / "train" / "n01" / "images", images[:1, :8, :8], [0])
    (root / "train/n01/images/class0/0000.png").rename(root / "train/n01/images/a.JPEG")
    with pytest.raises(UsageError, match="images are not of one size"):
        load_data("tiny_imagenet", "train")


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
    fx.assert_splits_whole("svhn")
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


def test_real_mnist(monkeypatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    # A download that failed leaves the folder.
    if not list((data_root() / "mnist" / "MNIST" / "raw").glob("train-images*")):
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
