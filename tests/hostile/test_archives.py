"""Archives and files that were made to harm, where the loaders look for data."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hostile.folders import clear, peak
from hostile.test_pickles import Payload, plain, state_dict
from zoo.data.load import load_data
from zoo.errors import IntegrityError, NotFoundError, ZooError

MEMORY = 5.5e8
BATCHES = "cifar-10-batches-py"


def tar(kind: str, victim: Path, payload: bytes) -> bytes:
    """A gzipped tar whose members aim at a file outside."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:

        def add(name: str, content: bytes = b"", **fields) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))

        inside = f"{BATCHES}/data_batch_1"
        if kind == "dots":
            add(f"{BATCHES}/../../../../../../../../..{victim}", b"x")
        elif kind == "absolute":
            add(str(victim), b"x")
        elif kind == "symlink":
            add(inside, type=tarfile.SYMTYPE, linkname=str(victim))
            add(inside, b"x")
        elif kind == "symlinked folder":
            add(BATCHES, type=tarfile.SYMTYPE, linkname=str(victim.parent))
            add(f"{BATCHES}/{victim.name}", b"x")
        elif kind == "hardlink":
            add(inside, type=tarfile.LNKTYPE, linkname=str(victim))
        elif kind == "device":
            add(inside, type=tarfile.CHRTYPE, devmajor=1, devminor=5)
        elif kind == "pipe":
            add(inside, type=tarfile.FIFOTYPE)
        elif kind == "bomb":
            add(inside, bytes(10**8))
        elif kind == "pickle":
            add(inside, payload)
    return buffer.getvalue()


TARS = ["dots", "absolute", "symlink", "symlinked folder", "hardlink", "device", "pipe", "bomb"]
TARS += ["pickle"]


def zipped(kind: str, victim: Path, payload: bytes) -> bytes:
    """A zip archive of the same kinds."""
    names = {"dots": f"../../../../../../../..{victim}", "absolute": str(victim)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(names.get(kind, "x"), bytes(10**8) if kind == "bomb" else payload)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    """The data folder; beside it lies nothing, and nothing may come to lie there."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(params=["offline", "online"])
def network(request, monkeypatch) -> str:
    """Downloads switched off; or on, where the loaders look at archives, but nothing is reached."""
    if request.param == "online":
        monkeypatch.delenv("ZOO_OFFLINE")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

        def unreachable(*args, **kwargs):
            raise OSError("no network here")

        monkeypatch.setattr("socket.getaddrinfo", unreachable)
        monkeypatch.setattr("socket.create_connection", unreachable)
    return request.param


def refused(name: str, tmp_path: Path, tally, error: type[ZooError] = ZooError) -> str:
    """Load, and check that there was one clear error and nothing else."""
    counts = tally("archives and data files", "hostile", "refused", "files outside", "run")
    counts["hostile"] += 1
    start = time.monotonic()
    with peak(MEMORY), pytest.raises(error) as caught:
        load_data(name)
    assert time.monotonic() - start < 10
    message = clear(caught.value)
    counts["refused"] += 1
    counts["run"] += (tmp_path / "canary").exists()
    left = [path.name for path in tmp_path.iterdir() if path.name not in ("data", "canary")]
    counts["files outside"] += len(left)
    assert not left and not (tmp_path / "canary").exists()
    return message


def put(path: Path, content: bytes) -> None:
    """A file in a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", TARS)
def test_cifar10_archive(root, tmp_path, network, canary, tally, kind: str) -> None:
    archive = tar(kind, tmp_path / "victim", plain(Payload(canary)))
    put(root / "cifar10" / "cifar-10-python.tar.gz", archive)
    refused("cifar10", tmp_path, tally, NotFoundError)


@pytest.mark.parametrize("kind", ["dots", "bomb", "pickle"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_mnist_archive(root, tmp_path, network, canary, tally, kind: str, name: str) -> None:
    contents: dict[str, Callable[[], bytes]] = {
        "dots": lambda: tar("dots", tmp_path / "victim", b""),
        "bomb": lambda: gzip.compress(bytes(10**8)),
        "pickle": lambda: gzip.compress(plain(Payload(canary))),
    }
    put(root / "mnist" / "MNIST" / "raw" / name, contents[kind]())
    refused("mnist", tmp_path, tally, NotFoundError)


@pytest.mark.parametrize("kind", ["dots", "absolute", "bomb", "pickle"])
def test_svhn_file(root, tmp_path, network, canary, tally, kind: str) -> None:
    content = zipped(kind, tmp_path / "victim", plain(Payload(canary)))
    for part in ("train", "test"):
        put(root / "svhn" / f"{part}_32x32.mat", content)
    refused("svhn", tmp_path, tally, NotFoundError)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta", "all"])
def test_pickles_of_cifar10_are_hashed_before_they_are_read(
    root, tmp_path, network, canary, tally, name: str
) -> None:
    files = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    for file in files if name == "all" else [name]:
        put(root / "cifar10" / BATCHES / file, plain(Payload(canary)))
    refused("cifar10", tmp_path, tally, NotFoundError)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_old_tensors_of_mnist_are_not_read(root, tmp_path, canary, tally, name: str) -> None:
    class_name = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    for file in ("training.pt", "test.pt"):
        put(root / name / class_name / "processed" / file, state_dict(Payload(canary)))
    refused(name, tmp_path, tally, NotFoundError)


def idx(*sizes: int, content: bytes = b"", kind: int = 8) -> bytes:
    """An idx file of these sizes."""
    return struct.pack(f">{len(sizes) + 1}i", kind << 8 | len(sizes), *sizes) + content


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize(
    "images, labels",
    [
        (idx(2**31 - 1, 28, 28), idx(2**31 - 1)),
        (idx(-1, 28, 28, content=bytes(784)), idx(1, content=b"\0")),
        (idx(1, 28, 28, content=bytes(784)), idx(1, content=b"\xc8")),
        (idx(2, 28, 28, content=bytes(1568)), idx(1, content=b"\0")),
        (idx(1, 28, 28, content=bytes(784), kind=14), idx(1, content=b"\0")),
        (idx(784, content=bytes(784)), idx(1, content=b"\0")),
        (b"\x80\x04N.", b"\x80\x04N."),
        ("sparse", idx(1, content=b"\0")),
    ],
    ids=["huge", "negative", "label", "short", "type", "flat", "pickle", "sparse"],
)
def test_idx_files(root, tmp_path, tally, name: str, images, labels: bytes) -> None:
    class_name = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name]
    raw = root / name / class_name / "raw"
    for part in ("train", "t10k"):
        put(raw / f"{part}-images-idx3-ubyte", b"" if images == "sparse" else images)
        put(raw / f"{part}-labels-idx1-ubyte", labels)
        if images == "sparse":
            with (raw / f"{part}-images-idx3-ubyte").open("r+b") as file:
                file.truncate(10**12)
    refused(name, tmp_path, tally, IntegrityError)


def png(width: int, height: int) -> bytes:
    """A picture of one colour, a thousandth of its size."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data)]
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in [*parts, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["large", "many", "script", "pickle", "pipe", "cut"])
def test_image_folder(root, tmp_path, canary, tally, monkeypatch, kind: str) -> None:
    folder = root / "pictures" / "class0"
    folder.mkdir(parents=True)
    if kind == "pipe":
        import os

        os.mkfifo(folder / "0.png")
    elif kind == "many":
        content = png(8000, 8000)
        for i in range(20):
            put(folder / f"{i}.png", content)
    else:
        contents = {
            "large": lambda: png(20_000, 10_000),
            "script": lambda: EPS,
            "pickle": lambda: plain(Payload(canary)),
            "cut": lambda: png(64, 64)[:50],
        }
        put(folder / "0.png", contents[kind]())
    if kind == "script":
        monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: canary.touch())
    refused(f"folder:{root / 'pictures'}", tmp_path, tally, IntegrityError)


@pytest.mark.parametrize(
    "kind", ["alike", "zeros", "labels", "bignum", "metadata", "deep", "text", "pickle", "cut"]
)
def test_parquet(root, tmp_path, canary, tally, kind: str) -> None:
    root.mkdir()
    file = root / "x.parquet"
    image, label, metadata = [png(8, 8)] * 4, pa.array([0, 1, 0, 1]), None
    if kind == "alike":  # a dictionary of one entry, which stands for gigabytes
        image, label = [b"\x89PNG" + bytes(10**6)] * 300, pa.array([0] * 300)
    elif kind == "zeros":
        image, label = [bytes(10**8 + i) for i in range(3)], pa.array([0] * 3)
    elif kind == "labels":
        label = pa.array([0, 1, 2, 2**62])
    elif kind == "bignum":
        label = pa.array([0, 1, 2, 2**64 - 1], pa.uint64())
    elif kind == "metadata":
        metadata = {b"huggingface": b'{"info": [1]}'}
    elif kind == "deep":
        metadata = {b"huggingface": b"[" * 100_000}
    elif kind == "text":
        image = [{"bytes": "text"}] * 4
    table = pa.table({"image": image, "label": label}).replace_schema_metadata(metadata)
    pq.write_table(table, file, compression="zstd")
    del table, image
    if kind == "pickle":
        file.write_bytes(plain(Payload(canary)))
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    refused(f"parquet:{file}", tmp_path, tally)
