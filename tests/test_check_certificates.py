"""The stand-alone checker: published folders pass, planted lies and damaged files do not.

Shapes: N images, C/H/W channel, height, width, I inputs, O outputs, 2 ends of a box.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from tests.checker_folders import digits, handmade, rows_of, safetensors, write
from tests.checker_tool import TOOL

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "weights" / "linf_dist_mlp3.digits_eps0.1"
PRUNED = ROOT / "weights" / "linf_dist_mlp5.mnist_eps0.3_small_pruned"


def check(*args, code: int = 0) -> str:
    """What the tool says of these folders; it must end with this code, and never in a traceback."""
    env = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, TOOL, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    if done.stderr:
        assert code == 1 and done.stderr.count("\n") == 1
    return done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DIGITS, tmp_path / "copy"))


def mnist() -> None:
    if not (Path(os.environ.get("ZOO_DATA", "")) / "mnist/MNIST/raw").is_dir():
        pytest.skip("ZOO_DATA does not hold mnist")


def test_digits_folders_agree_on_every_image():
    folders = sorted((ROOT / "weights").glob("*digits*"))
    out = check(*folders, "--exact", 1)
    assert out.count("360 images, 360 agree") == out.count(" s: ok") == len(folders) > 0


def test_mnist_folders_agree_on_their_first_images(times):
    mnist()
    folders, n = sorted((ROOT / "weights").glob("*mnist*")), times(300, 20)
    out = check(*folders, "--limit", n, "--exact", 0)
    assert out.count(f"{n} images, {n} agree") == len(folders) > 0


@pytest.mark.parametrize("status", ["unknown", "falsified", "misclassified"])
def test_a_planted_claim_is_found(copy, status):
    rows = rows_of(copy)
    planted = next(i for i, row in enumerate(rows) if row[3] == status)
    rows[planted][3:7] = ["certified", 1, 1, 1]
    out = check(write(copy, rows=rows), "--exact", 0, code=1)
    assert "359 agree" in out and f"image {planted}: claimed" in out


def test_a_dropped_claim_and_a_changed_label_are_found(copy):
    rows = rows_of(copy)
    rows[0][5] = 0
    rows[1][1] = 4
    assert "358 agree" in check(write(copy, rows=rows), "--exact", 0, code=1)


def test_a_changed_count_is_found(copy):
    counts = json.loads((copy / "config.json").read_text())["zoo"]["counts"]
    write(copy, counts=counts | {"n_certified_b": 304})
    assert "n_certified_b is 303" in check(copy, "--exact", 0, code=1)


def test_a_changed_weight_is_found_by_hash_and_by_verdicts(copy):
    tensors = load((copy / "model.safetensors").read_bytes())
    tensors["layers.dist3.bias"][3] -= 0.05
    (copy / "model.safetensors").write_bytes(safetensors(tensors))
    assert "sha256" in check(copy, code=1)
    assert "claimed" in check(write(copy, safetensors(tensors)), "--exact", 0, code=1)


def test_other_data_and_other_claims_are_refused(copy, tmp_path):
    x_NCHW, y_N = digits()
    np.savez(tmp_path / "other.npz", x_NCHW=x_NCHW ^ 1, y_N=y_N)
    assert "not the images" in check(copy, "--data", tmp_path / "other.npz", code=1)
    assert "certificates.csv" in check(write(copy, certificates_sha256="0"), code=1)


def test_a_bound_that_is_not_proved_here_is_refused(copy):
    assert "no proof by crown here: lipschitz, interval, best" in check(
        write(copy, bound="crown"), code=1
    )


def damaged() -> dict[str, bytes]:
    one = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    far = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}

    def pack(header: object, body: bytes = bytes(8)) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + body

    return {
        "short": b"abc",
        "length": (2**63).to_bytes(8, "little") + b"{}",
        "json": pack(b'{"w": '),
        "deep": pack(b"[" * 100_000),
        "outside": pack(far),
        "shape": pack({"w": one["w"] | {"shape": [3]}}),
        "dtype": pack({"w": one["w"] | {"dtype": "F99"}}),
        "rest": pack(one, bytes(12)),
        "nan": pack(one, np.array([0, np.nan], "<f4").tobytes()),
    }


@pytest.mark.parametrize("kind", damaged())
def test_a_damaged_file_is_refused_in_one_line(copy, kind):
    assert "model.safetensors" in check(write(copy, damaged()[kind]), code=1)


@pytest.mark.parametrize("key, value", [("index_E", 60_000), ("start", 3)])
def test_a_pruned_net_with_edges_out_of_range_is_refused(tmp_path, key, value):
    mnist()
    folder = Path(shutil.copytree(PRUNED, tmp_path / "copy"))
    tensors = load((folder / "model.safetensors").read_bytes())
    tensors[f"layers.dist1.{key}"][0] = value
    assert "model.safetensors" in check(write(folder, safetensors(tensors)), code=1)


BELOW = np.nextafter(np.float32(0.2), np.float32(0))
TIES = [(0.25, "1/8", 0), (0.25, "0.12499999999999999999", 1), (0.2, "1/10", 1), (BELOW, "1/10", 0)]


@pytest.mark.parametrize("gap, eps, holds", TIES)
@pytest.mark.parametrize("claim", [0, 1])
def test_a_tie_is_decided_exactly(tmp_path, gap, eps, holds, claim):
    """Logits -0 and -gap at the pixel 0: gap, a float32, must exceed 2 eps; B may prove nothing."""
    layers = [{"kind": "flatten"}, {"kind": "linf_dist", "name": "d"}, {"kind": "negate"}]
    tensors = {"d.weight": [[0], [gap]], "d.bias": [0, 0]}
    rows = [[0, 0, 0, "unknown", 0, claim, 0, 0, 0, 0]]
    card = {"data": "digits", "eps": eps, "bound": "lipschitz"}
    images = np.zeros((1, 1, 1, 1), np.uint8), np.array([0])
    check(*handmade(tmp_path, *images, tensors, layers, rows, **card), code=int(claim != holds))


def interval(lo_I, hi_I, weight_OI, bias_O):
    """Ends of W x + b over a box, sign by sign, in fractions."""
    lo_O, hi_O = bias_O.copy(), bias_O.copy()
    for o, i in zip(*np.nonzero(weight_OI), strict=True):
        ends = sorted((weight_OI[o, i] * lo_I[i], weight_OI[o, i] * hi_I[i]))
        lo_O[o], hi_O[o] = lo_O[o] + ends[0], hi_O[o] + ends[1]
    return lo_O, hi_O


def dense(kernel_OCHW: np.ndarray) -> np.ndarray:
    """The matrix of a convolution of 8x8 images, stride 2 and padding 1, written out by loops."""
    matrix = np.zeros((len(kernel_OCHW), 4, 4, 8, 8), np.float32)
    for o, i, j, di, dj in np.ndindex(len(kernel_OCHW), 4, 4, 3, 3):
        row, column = 2 * i + di - 1, 2 * j + dj - 1
        if 0 <= row < 8 and 0 <= column < 8:
            matrix[o, i, j, row, column] = kernel_OCHW[o, 0, di, dj]
    return matrix.reshape(-1, 64)


def test_a_small_relu_conv_net_is_decided_as_by_slow_fractions(tmp_path):
    rng, n = np.random.default_rng(0), 40
    x_NCHW, y_N = digits()
    kernel, offset = rng.normal(size=(3, 1, 3, 3)).astype("<f4"), rng.normal(size=3).astype("<f4")
    matrix = dense(kernel)
    x_NI = (x_NCHW.reshape(-1, 64) / 16 - 0.25) / 0.5
    features_NI = np.maximum(x_NI @ matrix.T + np.repeat(offset, 16), 0)
    weight = np.linalg.lstsq(features_NI, np.eye(10)[y_N] - 0.1, rcond=None)[0].T.astype("<f4")
    x_NCHW, y_N = x_NCHW[:n], y_N[:n]
    bias = np.full(10, 0.1, "<f4")
    tensors = {"c.weight": kernel, "c.bias": offset, "f.weight": weight, "f.bias": bias}
    tensors |= {"n.mean_C": np.float32([0.25]), "n.std": np.float32(0.5)}
    exactly = np.frompyfunc(Fraction, 1, 1)
    exact = [exactly(t) for t in (matrix, np.repeat(offset, 16), weight, bias)]
    rows = []
    for i, (v_I, label) in enumerate(zip(x_NCHW.reshape(n, -1), y_N, strict=True)):
        x_I = exactly(v_I / 16)
        ends = np.maximum(x_I - Fraction("0.02"), 0), np.minimum(x_I + Fraction("0.02"), 1)
        ends = [(end - Fraction(1, 4)) * 2 for end in ends]
        ends = (np.maximum(end, 0) for end in interval(*ends, *exact[:2]))
        w_KI, b_K = exact[2:]
        margin_K, _ = interval(*ends, w_KI[label] - w_KI, b_K[label] - b_K)
        margin = min(margin_K[k] for k in range(10) if k != label)
        pred = (features_NI[i] @ weight.T).argmax()
        assert abs(margin) > 1e-4  # so that float32 rounding decides no image
        status = "misclassified" if pred != label else "certified" if margin > 0 else "unknown"
        rows.append([i, int(label), int(pred), status, *[int(margin > 0)] * 3, 0, 0, 0])
    assert 5 < sum(row[5] for row in rows) < n - 5
    layers = [{"kind": "normalize", "name": "n"}, {"kind": "conv2d", "name": "c"}, {"kind": "relu"}]
    layers += [{"kind": "flatten"}, {"kind": "linear", "name": "f"}]
    layers[1] |= {"stride": 2, "padding": 1}
    card = {"data": "digits", "eps": "0.02", "bound": "interval"}
    out = check(*handmade(tmp_path, x_NCHW, y_N, tensors, layers, rows, **card))
    assert f"{n} agree" in out and "0 provable beyond, 0 within rounding" in out
    planted = next(i for i, row in enumerate(rows) if row[3] == "unknown")
    rows[planted][3:7] = ["certified", 1, 1, 1]
    args = handmade(tmp_path, x_NCHW, y_N, tensors, layers, rows, **card)
    assert f"image {planted}:" in check(*args, code=1)


def test_the_tool_stands_alone_and_is_short():
    """A stranger reads it in half an hour: numpy, the standard library, and files of 200 lines."""
    own = {path.stem for path in TOOL.parent.glob("*.py")}
    for path in TOOL.parent.glob("*.py"):
        source = path.read_text()
        assert len(source.splitlines()) <= 200
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in {*sys.stdlib_module_names, "numpy", *own}
