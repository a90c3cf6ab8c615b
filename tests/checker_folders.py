"""Weight folders written by hand, for the checker to judge.

Shapes: N images, C/H/W channel, height, width.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np

COLUMNS = "index,label,pred,status,naive,a,b,margin,radius,slack"


def safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    header, body = {}, b""
    for name, tensor in tensors.items():
        dtype = {"<f4": "F32", "<u2": "U16", "<i4": "I32"}[tensor.dtype.str]
        offsets = [len(body), len(body) + tensor.nbytes]
        header[name] = {"dtype": dtype, "shape": [*tensor.shape], "data_offsets": offsets}
        body += tensor.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def write(folder: Path, weights: bytes | None = None, rows=None, **card) -> Path:
    """Puts weights, rows of claims or fields of the card into a folder, with a true hash."""
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.exists() else {"zoo": {}}
    if weights is not None:
        (folder / "model.safetensors").write_bytes(weights)
        card["sha256"] = hashlib.sha256(weights).hexdigest()
    if rows is not None:
        lines = [",".join(map(str, row)) for row in rows]
        (folder / "certificates.csv").write_text("\n".join([COLUMNS, *lines]) + "\n")
        text = (folder / "certificates.csv").read_bytes()
        card["certificates_sha256"] = hashlib.sha256(text).hexdigest()
        certified = sum(row[3] == "certified" for row in rows)
        clean = sum(row[1] == row[2] for row in rows)
        ab = {"n_certified_a": sum(r[5] for r in rows), "n_certified_b": sum(r[6] for r in rows)}
        card["counts"] = {"n": len(rows), "n_clean": clean, "n_certified": certified} | ab
    config["zoo"] |= card
    path.write_text(json.dumps(config))
    return folder


def rows_of(folder: Path) -> list[list]:
    with (folder / "certificates.csv").open(newline="") as file:
        return [[int(v) if v.isdigit() else v for v in row] for row in [*csv.reader(file)][1:]]


def handmade(folder, x_NCHW, y_N, tensors, layers, rows, **card) -> tuple[Path, str, Path]:
    """A folder on given images, and the arguments that name these images."""
    data = repr(x_NCHW.shape).encode() + x_NCHW.tobytes() + y_N.astype("<i8").tobytes()
    np.savez(folder / "images.npz", x_NCHW=x_NCHW, y_N=y_N)
    card |= {"split_sha256": hashlib.sha256(data).hexdigest(), "norm": "linf", "clip": True}
    weights = safetensors({name: np.asarray(t, "<f4") for name, t in tensors.items()})
    write(folder, weights, rows, layers=layers, **card)
    return folder, "--data", folder / "images.npz"


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels.astype(np.uint8).reshape(-1, 1, 8, 8)[1437:], labels[1437:]
