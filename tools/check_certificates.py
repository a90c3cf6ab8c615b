"""Checks every published verdict with Python, numpy and the raw data alone: no code of `zoo`.

Tensors, images and claims are held to the hashes of the card (weight_folder.py). Then, for every
image:
A (column a): over the reals, the stored tensors keep the class on the ball of radius eps. By
  "lipschitz" no logit moves more than L eps; by "interval" the box goes through all layers; others
  are backward bounds (backward_bounds.py), "best" the best of both.
B (column b): the float32 program keeps the class on every float32 image of the ball. For the first
  two bounds the box goes through all layers: "lipschitz" proves no more.
layer_kinds.py says what layers make of a box, enclosures.py how rounding is accounted for.

Where each layer rounds in one fixed way, verdicts on a must agree, and each b must be proved; a is
decided in exact fractions near the border and for `--exact` images. Nets with sums (linear, conv2d,
tanh, batch_norm, avg_pool) must prove what they claim, to 1e-9 of their logits ("within rounding").
Not checked: naive, margin, radius, slack, nor who is falsified or unknown, save that B proves no
falsified image.

Shapes: B batch, C/H/W image, K classes, V values of a byte, 2 ends of a box (1 of a point).
"""

import argparse
import os
import time
from fractions import Fraction
from pathlib import Path

import backward_bounds
import numpy as np
from enclosures import differences_of_linear, numbers
from layer_kinds import INEXACT, SUMS, options, run
from numpy.testing import assert_ as require
from weight_folder import read, read_folder

INTERVALS = ("lipschitz", "interval", "best")  # bounds with which a box goes through all layers
NEAR = 1e-9  # this share of its logits is next to nothing beside a margin


def next_to(end, kind, up):
    """The number of a kind next to a fraction, from above or from below."""
    if kind is Fraction or abs(end) == np.inf:
        return kind(end)
    near, beyond = kind(end), kind(np.inf if up else -np.inf)
    while Fraction(float(near)) < end if up else Fraction(float(near)) > end:
        near = np.nextafter(near, beyond)
    return near


def balls(card, v_BCHW, eps, kind):
    """Ends of the balls of radius eps around images in bytes, in a kind of numbers."""
    levels = 16 if card["data"] == "digits" else 255
    low, high = (0, 1) if card["clip"] else (-np.inf, np.inf)
    pixel_V = [Fraction(float(np.float32(v / levels))) for v in range(levels + 1)]
    # SOUND: reals are enclosed; float32 images of the ball lie between its first and its last.
    inside = kind is np.float32
    ends_2V = [
        [next_to(max(pixel - eps, low), kind, inside) for pixel in pixel_V],
        [next_to(min(pixel + eps, high), kind, not inside) for pixel in pixel_V],
    ]
    return np.array(ends_2V if eps else ends_2V[:1])[:, v_BCHW]


def gain(layers, tensors):
    """How much further than pixels a logit moves at most, in l_inf: an exact upper bound.

    Outputs of all kinds that are not named here move no further than inputs.
    """
    total = Fraction(1)
    for layer in layers:
        own = tensors.get(layer.get("name"))
        if layer["kind"] == "normalize":
            total /= Fraction(own["std"].item())
        elif layer["kind"] in ("linear", "conv2d"):
            rows = abs(own["weight"].reshape(len(own["weight"]), -1)).tolist()
            norm = max(sum(map(Fraction, row)) for row in rows)
            require(norm <= 1, f"{layer['name']}: a row has norm {float(norm)!r}, above 1")
        elif "branches" in layer:
            gains = [gain(branch, tensors) for branch in layer["branches"]]
            total *= sum(gains) if layer["kind"] == "add" else max(gains)
        require(layer["kind"] != "batch_norm", "batch_norm has no gain here")
    return total


def margins(layers, tensors, x_2BCHW, y_B):
    """Lower bounds of f_y - f_k on boxes, (B, K); a last linear layer is bounded as W_y - W_k."""
    *body, last = layers
    if last["kind"] == "linear":
        x_2BI = run(body, tensors, x_2BCHW)
        return differences_of_linear(x_2BI, y_B, **options(last, tensors))
    f_2BK = run(layers, tensors, x_2BCHW)
    return np.take_along_axis(f_2BK[0], y_B[:, None], 1) - f_2BK[-1]


def tensors_of(card, kind):
    """The card's tensors in a kind of numbers."""
    return {
        name: {key: numbers(tensor, kind) for key, tensor in own.items()}
        for name, own in card["tensors"].items()
    }


def smallest(card, i, kind, eps, loss=Fraction(0)):
    """Lower bounds of the least f_y - f_k, k != y, on the balls around images i, less a loss."""
    y_B, layers, bound = card["y"][i], card["layers"], card["bound"]
    found = []
    if bound in INTERVALS:
        tensors, ends_2B = tensors_of(card, kind), balls(card, card["x"][i], eps, kind)
        found.append(margins(layers, tensors, ends_2B, y_B))
    if bound in backward_bounds.BOUNDS:
        tensors, ends_2B = tensors_of(card, np.float64), balls(card, card["x"][i], eps, np.float64)
        program = kind is np.float32
        found.append(backward_bounds.margins(layers, tensors, ends_2B, y_B, bound, program))
    margins_BK = np.max(found, 0)
    np.put_along_axis(margins_BK, y_B[:, None], np.inf, 1)
    worst_B = margins_BK.min(1) - next_to(loss, kind, up=True)
    # SOUND: the loss is rounded up and this difference down; without a loss, 0 stays 0.
    return np.nextafter(worst_B, -np.inf) if loss and kind is not Fraction else worst_B


def verdicts(card, n, exact):
    """Of the first n images: the class (-1 where logits may tie), a, b, and what of them is within
    rounding; how many a are exact."""
    proofs = {**dict.fromkeys(INTERVALS), **backward_bounds.BOUNDS}
    require(card["bound"] in proofs, f"no proof by {card['bound']} here: {', '.join(proofs)} only")
    sums, box = card["kinds"] & SUMS, card["bound"] != "lipschitz"
    constant = None if box else gain(card["layers"], card["tensors"])
    real = (card["eps"],) if box else (0, 2 * constant * card["eps"])
    found = []
    for i in np.array_split(np.arange(n), n // (16 if "conv2d" in card["kinds"] else 128) + 1):
        x_1BCHW = balls(card, card["x"][i], 0, np.float32)
        f_2BK = run(card["layers"], card["tensors"], x_1BCHW)
        pred_B, low_B, others_BK = f_2BK[0].argmax(1), f_2BK[0].max(1), f_2BK[-1].copy()
        np.put_along_axis(others_BK, pred_B[:, None], -np.inf, 1)
        pred_B = np.where(low_B > others_BK.max(1), pred_B, -1)
        near_B = NEAR * np.maximum(abs(f_2BK).max((0, 2)), 0 if sums else 1)
        a_B = smallest(card, i, np.float64, *real)
        found.append((pred_B, a_B, smallest(card, i, np.float32, card["eps"]), near_B))
    pred, a, b, near = map(np.concatenate, zip(*found, strict=True))
    even = np.argsort(np.where(a > 0, a, np.inf))[np.linspace(0, n - 1, exact, dtype=int)]
    i = np.unique([*even, *([] if sums else np.flatnonzero(abs(a) < near))]).astype(int)
    i = i[: 0 if card["kinds"] & INEXACT or card["bound"] in backward_bounds.BOUNDS else None]
    if len(i):
        a[i] = smallest(card, i, Fraction, *real)
    return pred, a, b, near * bool(sums), len(i)


def miscounted(card):
    """Counts of the card that its rows contradict."""
    rows = card["rows"]
    certified, clean = rows["status"] == "certified", rows["pred"] == rows["label"]
    counts = {"n": len(rows), "n_clean": sum(clean), "n_certified": sum(certified)}
    counts |= {"n_certified_a": sum(rows["a"] == 1), "n_certified_b": sum(rows["b"] == 1)}
    says = card["counts"]
    return [f"counts: {key} is {v} in the rows" for key, v in counts.items() if says[key] != v]


def check(folder, source, limit, exact):
    """Prints what became of the claims of one folder, and says whether all are true."""
    began, card = time.perf_counter(), read_folder(folder, source)
    y, rows = card["y"][:limit], card["rows"][:limit]
    pred, a, b, loss, n_exact = verdicts(card, len(y), exact)
    says_a, says_b, certified = rows["a"] == 1, rows["b"] == 1, rows["status"] == "certified"
    clean, fixed = rows["pred"] == rows["label"], not card["kinds"] & SUMS
    bad = (rows["label"] != y) | (rows["pred"] != pred) & (fixed | (pred >= 0))
    bad |= says_a & ~(a > -loss) | says_b & ~(b > -loss) | fixed & ~says_a & (a > 0)
    bad |= (rows["status"] == "falsified") & (b > 0)
    bad |= (certified != says_a & says_b & clean) | ((rows["status"] == "misclassified") == clean)
    short = ~bad & (says_a & ~(a > 0) | says_b & ~(b > 0))
    beyond, wrong = clean & ~says_b & (b > 0), miscounted(card)
    for k in np.flatnonzero(bad):
        wrong.append(f"image {k}: claimed {rows[k]}; found {y[k]}, {pred[k]}, a {a[k]}, b {b[k]}")
    said = (
        f"{sum(certified)} certified at eps {card['eps']} in l_inf" + " and [0, 1]" * card["clip"]
    )
    print(f"{folder.name}: {len(y)} images, {len(y) - sum(bad)} agree, {said}", end=", ")
    print(
        f"{n_exact} exactly, {sum(beyond)} provable beyond, {sum(short)} within rounding", end=", "
    )
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
