"""Checks every published verdict with Python, numpy and the raw data alone: no code of `zoo`.

Tensors, images and claims are held to the hashes of the card. Then, for every image:
A (column a): over the reals, the stored tensors keep the class on the ball of radius eps. By
  "lipschitz" no logit of a distance net moves more than L eps; by "interval" the box goes through
  all layers. In float64; in exact fractions near the border and for `--exact` images besides.
B (column b): the float32 program keeps the class on every float32 image of the ball. Subtraction,
  |.|, max and + b round monotonically, so the values of a distance net on the box lie between
  those of its ends under the same float32 operations. Sums get slack for any order of adding.
Distance nets must agree on each a and prove each b; nets with sums (linear, conv2d) prove what they
claim, to 1e-9 of two logits ("within rounding"). Not checked: naive, margin, radius, slack, nor who
is falsified or unknown, save that B proves no falsified image. Shapes: N images, B batch, C/H/W,
I inputs, E edges of a neuron, O outputs, K classes, P patches, V bytes, 2 ends of a box.
"""

import argparse
import gzip
import hashlib
import importlib.util
import json
import os
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.testing import assert_ as require  # unlike assert, python -O keeps it


def read(path, sha256=None):
    read.path = path  # the file that an error is about
    data = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    require(sha256 in (None, hashlib.sha256(data).hexdigest()), "not the sha256 of the card")
    return data


def read_tensors(data):
    """{layer: {name: tensor}} of a safetensors file: 8 bytes of length, JSON header, raw data."""
    dtypes = {"F32": "<f4", "U16": "<u2", "I32": "<i4"}
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


def distance(x_2BI, unit, bias, weight=(), weight_E=(), index_E=(), start=(0,)):
    """y_o = max_i |x_i - w_oi| + b_o, over all inputs, or those of edges start[o] to start[o+1]."""
    rising = start[0] == 0 and start[-1] == len(index_E) and (np.diff(start) > 0).all()
    require(rising and not unit, "bad start, or distances in a net with sums")
    edges = [(index_E[i:j], weight_E[i:j]) for i, j in pairwise(start)]
    edges += [(slice(None), w_I) for w_I in weight]
    ends = []
    for index, w_E in edges:
        d_2BE = x_2BI[:, :, index] - w_E
        require(len(bias) == len(edges) and d_2BE.shape[2:] == w_E.shape, "shapes do not fit")
        # SOUND: for d from lo to hi, |d| is at least lo, -hi and 0, and at most hi or -lo
        ends.append(np.maximum(d_2BE.max(2), -d_2BE.min(2)[::-1]))
    return np.maximum(np.stack(ends, 2), 0) + bias


def linear(x_2BI, unit, weight, bias=0):
    """The box as centre mu and radius r: W mu + b -+ |W| r."""
    mu, size_IO, n = (x_2BI[0] + x_2BI[-1]) / 2, abs(weight).T, weight.shape[1]
    r = np.maximum(x_2BI[-1] - mu, mu - x_2BI[0])
    z, rho, total = mu @ weight.T + bias, r @ size_IO, (abs(mu) + r) @ size_IO + abs(bias)
    if unit is not None:  # SOUND: any order, fused or not; 2^-126 is for underflow, even flushed
        require((total < 2.0**127).all(), "a sum may overflow")
        rho = rho + 1.01 * ((n + 4) * 2.0**-53 + (n + 1) * unit) * total + n * 2.0**-126
    return np.stack([z - rho, z + rho])


def conv2d(x_2BCHW, unit, weight, bias=0, *, stride, padding):
    x = np.pad(x_2BCHW, [(0, 0)] * 3 + [(padding, padding)] * 2)
    x = np.lib.stride_tricks.sliding_window_view(x, weight.shape[1:], (2, 3, 4))
    x, rows_OI = x[:, :, 0, ::stride, ::stride], weight.reshape(len(weight), -1)
    y_2PO = linear(x.reshape(len(x), -1, rows_OI.shape[1]), unit, rows_OI, bias)
    return np.moveaxis(y_2PO.reshape(-1, *x.shape[1:4], len(weight)), 4, 2)


def normalize(x, unit, mean_C, std):
    mean = mean_C[:, None, None]
    slack = 3 * (unit + 2.0**-52) * (abs(x).max(0) + abs(mean)) / std if unit is not None else 0
    return np.stack([(x[0] - mean) / std - slack, (x[-1] - mean) / std + slack])


SUMS = {"linear": linear, "conv2d": conv2d, "relu": lambda x, _: np.maximum(x, 0)}
KINDS = SUMS | {"linf_dist": distance, "pruned_linf_dist": distance, "normalize": normalize}
KINDS |= {"flatten": lambda x, _: x.reshape(*x.shape[:2], -1), "negate": lambda x, _: -x[::-1]}


def margins(net, v_BCHW, y_B, number, eps, reach, unit=None):
    """min over k != y of f_y - f_k - reach on the balls around images in bytes; lower ends."""
    levels = 16 if net["data"] == "digits" else 255
    low, high = (0, 1) if net["clip"] else (-np.inf, np.inf)
    cast = np.frompyfunc(Fraction, 1, 1) if number is Fraction else number
    x_V = [Fraction(float(np.float32(v / levels))) for v in range(levels + 1)]
    ends = cast(np.array([[max(v - eps, low) for v in x_V], [min(v + eps, high) for v in x_V]]))
    if eps and number is not Fraction:  # SOUND: outward; a point is a float32 as it is
        ends = np.nextafter(ends, number([[-np.inf], [np.inf]]))
    x = (ends if eps else ends[:1])[:, v_BCHW]
    for layer in net["layers"]:
        options = {key: value for key, value in layer.items() if key not in ("kind", "name")}
        for key, tensor in net["tensors"].get(layer.get("name"), {}).items():
            options[key] = cast(tensor) if tensor.dtype == "f4" else tensor
        x = KINDS[layer["kind"]](x, unit, **options)
    own_B1 = np.take_along_axis(x[0], y_B[:, None], 1)
    scale_BK = np.maximum(np.maximum(abs(own_B1), abs(x[-1])), 1e-30 if net["sums"] else 1)
    margin_BK = (own_B1 - x[-1] - number(reach)) / scale_BK
    np.put_along_axis(margin_BK, y_B[:, None], np.inf, 1)
    return margin_BK.min(1).astype(float), x[0]


def check(folder, source, limit, exact, tiny=1e-9):
    """Prints what became of the claims of one folder, and says whether all are true."""
    began, net = time.perf_counter(), json.loads(read(folder / "config.json"))["zoo"]
    text = read(folder / "certificates.csv", net.get("certificates_sha256")).decode()
    rows = np.genfromtxt(text.split(), None, None, ",", names=True, encoding="utf8", ndmin=1)
    x, y = read_images(net["data"], source)
    data = repr(x.shape).encode() + x.tobytes() + (y := y.astype("<i8")).tobytes()
    require(hashlib.sha256(data).hexdigest() == net["split_sha256"], "not the images of the card")
    net["tensors"] = tensors = read_tensors(read(folder / "model.safetensors", net["sha256"]))
    dist = [{"kind": "linf_dist", "name": f"layers.dist{i + 1}"} for i in range(len(tensors))]
    layers = net.setdefault("layers", [{"kind": "flatten"}, *dist, {"kind": "negate"}])
    require({*tensors} == {own["name"] for own in layers if "name" in own}, "not the card's layers")
    require(net["norm"] == "linf" and {*net["eps"]} <= {*"0123456789./"}, "norm or eps unknown")
    eps, box = Fraction(net["eps"]), {"interval": True, "lipschitz": False}[net["bound"]]
    net["sums"] = sums = any(own["kind"] in SUMS for own in layers)
    stds = [Fraction(tensors[o["name"]]["std"].item()) for o in layers if o["kind"] == "normalize"]
    require((box or not sums) and min(stds, default=1) > 0.01, "no proof for such a net")
    a_ball = (eps, 0) if box else (0, 2 * eps / np.prod([Fraction(1), *stds]))
    number, unit, loss = (np.float64, 2.0**-24, tiny) if sums else (np.float32, None, 0)
    y, found, n = y[:limit], [], len(y[:limit])
    for i in np.array_split(np.arange(n), n // (16 if sums else 128) + 1):
        _, f_BK = margins(net, x[i], y[i], number, 0, 0)
        gap_B = np.diff(np.sort(f_BK, 1)[:, -2:])[:, 0]
        a_B, _ = margins(net, x[i], y[i], np.float64, *a_ball, 0.0)
        b_B, _ = margins(net, x[i], y[i], number, eps, 0, unit)
        found.append((np.where(gap_B > 0, f_BK.argmax(1), -1), gap_B, a_B, b_B))
    pred, gap, a, b = map(np.concatenate, zip(*found, strict=True))
    even = np.argsort(np.where(a > 0, a, np.inf))[np.linspace(0, n - 1, exact, dtype=int)]
    i = np.unique([*even, *np.flatnonzero(abs(a) < tiny * (not sums))]).astype(int)
    a[i] = margins(net, x[i], y[i], Fraction, *a_ball)[0] if len(i) else 0
    require((rows["index"] == np.arange(len(x))).all(), "not one row of claims an image")
    columns = rows["pred"] == rows["label"], rows["status"] == "certified", rows["a"], rows["b"]
    keys, says = "n_clean n_certified n_certified_a n_certified_b n".split(), net["counts"]
    counts = zip(keys, [*map(sum, columns), len(x)], strict=True)
    wrong = [f"counts: {key} is {v} in the rows" for key, v in counts if says[key] != v]
    clean, certified, claim_a, claim_b = (column[:n] == 1 for column in columns)
    label, guess, status = (rows[key][:n] for key in ("label", "pred", "status"))
    bad = (label != y) | (guess != pred) & (gap >= 1e-3 * sums) | (status == "falsified") & (b > 0)
    bad |= claim_a & ~(a > -loss) | claim_b & ~(b > -loss) | ~claim_a & (a > 0) & (not sums)
    bad |= (certified != claim_a & claim_b & clean) | ((status == "misclassified") == clean)
    short, beyond = ~bad & (claim_a & (a <= 0) | claim_b & (b <= 0)), clean & ~claim_b & (b > 0)
    for k in np.flatnonzero(bad):
        wrong.append(f"image {k}: claimed {rows[k]}; found {y[k]}, {pred[k]}, a {a[k]}, b {b[k]}")
    said = f"{sum(certified)} certified at eps {eps} in l_inf" + " and [0, 1]" * net["clip"]
    print(f"{folder.name}: {n} images, {n - sum(bad)} agree, {said}, {len(i)} exactly", end=", ")
    print(f"{sum(beyond)} provable beyond, {sum(short)} within rounding", end=", ")
    print(f"{time.perf_counter() - began:.0f} s:", "\n  ".join(wrong[:10]) or "ok")
    return not wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Checks certificates: see the top of this file.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=os.environ.get("ZOO_DATA", "."))
    parser.add_argument("--limit", type=int, help="the first images only")
    parser.add_argument("--exact", type=int, default=3, help="images decided in fractions")
    args, agree, refused = parser.parse_args(), True, ""
    for folder in args.folders:
        try:
            agree &= check(folder, args.data, args.limit, args.exact)
        except Exception as error:  # all input may be hostile
            refused += f"{read.path}: {error!r}"[:400].replace("\n", " ") + "\n"
    parser.exit(not agree or refused != "", refused)
