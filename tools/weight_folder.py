"""Reads a weight folder and the images that it speaks of, each held to the hash on the card.

Shapes: N images, C/H/W channel, height, width, I inputs.
"""

import gzip
import hashlib
import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.testing import assert_ as require  # unlike assert, python -O keeps it


def read(path, sha256=None):
    read.path = path  # the file that an error is about
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        data = file.read()
    require(sha256 in (None, hashlib.sha256(data).hexdigest()), "not the sha256 of the card")
    return data


def read_tensors(data):
    """{layer: {name: tensor}} of a safetensors file: 8 bytes of length, JSON header, raw data."""
    dtypes = {"F32": "<f4", "U16": "<u2", "I32": "<i4", "I64": "<i8"}
    size = 8 + int.from_bytes(data[:8], "little")
    header, body, tensors, end = json.loads(data[8:size]), data[size:], {}, 0
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        last, (start, end) = end, entry["data_offsets"]
        require(last == start <= end <= len(body), f"{name}: offsets {start}, {end} do not fit")
        tensor = np.frombuffer(body[start:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
        require(tensor.dtype != "f4" or (abs(tensor) < 2**16).all(), f"{name}: not finite, or huge")
        tensors.setdefault(name.rpartition(".")[0], {})[name.rpartition(".")[2]] = tensor
    require(size + end == len(data), f"header and tensors end at {size + end} of {len(data)} bytes")
    return tensors


def read_images(name, source):
    """Bytes x_NCHW and labels y_N of the test split; source: a file, or a folder like $ZOO_DATA."""
    read.path = source
    if source.suffix == ".npz":
        arrays = np.load(source, allow_pickle=False)
        return arrays["x_NCHW"], arrays["y_N"]
    if name == "digits":
        home = Path(getattr(importlib.util.find_spec("sklearn"), "origin", "sklearn")).parent
        lines = read(source if source.is_file() else home / "datasets/data/digits.csv.gz").split()
        table_NI = np.loadtxt(lines, dtype=np.uint8, delimiter=",", ndmin=2)[1437:]
        return table_NI[:, :64].reshape(-1, 1, 8, 8), table_NI[:, 64]
    paths = sorted(source.glob("mnist/MNIST/raw/t10k-*")) if name == "mnist" else []
    require(paths, f"no {name} here: set ZOO_DATA, or give --data FILE.npz of x_NCHW and y_N")
    images, labels = read(paths[0])[16:], read(paths[-1])[8:]  # less the headers of idx files
    return np.frombuffer(images, "u1").reshape(-1, 1, 28, 28), np.frombuffer(labels, "u1")


def kinds_and_names(layers):
    """All kinds, and all names that own tensors, in branches too."""
    kinds = {layer["kind"] for layer in layers}
    names = {layer["name"] for layer in layers if "name" in layer}
    for layer in layers:
        for branch in layer.get("branches", ()):
            more_kinds, more_names = kinds_and_names(branch)
            kinds, names = kinds | more_kinds, names | more_names
    return kinds, names


def read_folder(folder, source):
    """The card, with its claims, images, labels and tensors, all held to their hashes."""
    card = json.loads(read(folder / "config.json"))["zoo"]
    text = read(folder / "certificates.csv", card.get("certificates_sha256")).decode()
    rows = np.genfromtxt(text.split(), None, None, ",", names=True, encoding="utf8", ndmin=1)
    x_NCHW, y_N = read_images(card["data"], source)
    y_N = y_N.astype("<i8")
    data = repr(x_NCHW.shape).encode() + x_NCHW.tobytes() + y_N.tobytes()
    require(hashlib.sha256(data).hexdigest() == card["split_sha256"], "not the images of the card")
    tensors = read_tensors(read(folder / "model.safetensors", card["sha256"]))
    kinds, names = kinds_and_names(card["layers"])
    require({*tensors} == names, "not the card's layers")
    require((rows["index"] == np.arange(len(x_NCHW))).all(), "not one row of claims an image")
    require(card["norm"] == "linf" and {*card["eps"]} <= {*"0123456789./"}, "norm or eps unknown")
    found = {"rows": rows, "x": x_NCHW, "y": y_N, "tensors": tensors, "kinds": kinds}
    return card | found | {"eps": Fraction(card["eps"])}
