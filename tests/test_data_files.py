"""The user's own folders and parquet files: splits, classes, and every error message.

Shapes: N images, B batch, C/H/W channel, height, width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests import data_fixtures as fx
from zoo.data.load import load_data
from zoo.data.splits import SPLITS
from zoo.data.statistics import pixel_statistics
from zoo.errors import IntegrityError, NotFoundError, UsageError


@pytest.mark.parametrize("source", ["folder", "parquet"])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)])
def test_own_files_round_trip(tmp_path: Path, source: str, shape: tuple[int, ...]) -> None:
    write = fx.write_folder if source == "folder" else fx.write_parquet
    suffix = "" if source == "folder" else "-0-of-1.parquet"
    train, test = fx.random_images(25, shape), fx.random_images(7, shape, seed=1)
    write(tmp_path / f"train{suffix}", train, [0] * 20 + [1] * 5)
    write(tmp_path / f"test{suffix}", test, [0] * 5 + [1] * 2)
    name = f"{source}:{tmp_path}"
    fx.assert_splits_whole(name)

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
