"""Backward linear bounds: forms of the logits, pulled to the pixels through lines at each ReLU.

For z in [l, u], s z + t <= max(z, 0) <= s' z + t': any slopes will do, and the offsets follow. A
coefficient above 0 takes the lower line, any other the upper, so that a form of the logits is at
least a form of the pixels, whose least value over the ball lies at a corner.

A: in float64, each step is off by at most n + 8 + 2 P roundings of the sizes of its terms, n the
numbers in its longest sum and P the steps (Higham 2002, section 3.1): that is added up and taken
off. B: float32 logits lie next to the exact ones of the same image: the error so far times |W|, and
that of the program's own sums.

Shapes: 2 ends, B images, S forms, K classes; ``...`` a value without its batch.
"""

import affine_kinds
import numpy as np
from enclosures import TINY, U32, U64
from layer_kinds import KINDS, options, run
from numpy.testing import assert_ as require

STEPS = 200  # more than any net has
# Lower slope of a neuron that is neither dead nor active, by the name of a bound; the upper is the
# chord's. "best" takes what the best of these and of intervals proves, class by class.
LOWER = {
    "crown_ibp": lambda lower, upper, chord: upper > -lower,
    "crown_ibp_zero": lambda lower, upper, chord: 0 * upper,
    "cap_ibp": lambda lower, upper, chord: chord,
    "smooth_tight": lambda lower, upper, chord: 0 * upper + 0.5,  # to begin with
}
BOUNDS = {"best": ("crown_ibp", "crown_ibp_zero", "cap_ibp")} | {name: (name,) for name in LOWER}


def margins(layers, tensors, x_2B, y_B, name, program):
    """Lower bounds of f_y - f_k over the ball with these ends, (B, K), and (B, K) of column y."""
    f_2BK, error_BK, tape = forwards(layers, tensors, x_2B, np.zeros(x_2B.shape[1:]))
    one_KK = np.eye(f_2BK.shape[2])
    rows_BSK = one_KK[y_B][:, None] - one_KK
    if name == "smooth_tight":
        step(tape, x_2B, y_B, *least(tape, x_2B, rows_BSK, name))
    found = [least(tape, x_2B, rows_BSK, each, name == "smooth_tight") for each in BOUNDS[name]]
    low_BK = np.max([low_BK for low_BK, _ in found], 0)
    if program:
        both_BK = error_BK + np.take_along_axis(error_BK, y_B[:, None], 1)
        low_BK = low_BK - both_BK - 4 * U64 * (abs(low_BK) + both_BK)
    return low_BK


def forwards(layers, tensors, x_2B, error):
    """Ends of what layers make of a box, what the program errs by there, and what each one took."""
    tape = []
    for layer in layers:
        kind, own = layer["kind"], options(layer, tensors)
        entry = {"kind": kind, "ends": x_2B, "largest": abs(x_2B).max(0)}
        if kind in affine_kinds.KINDS:
            entry["affine"] = one = affine_kinds.KINDS[kind](x_2B.ndim - 1, **own)
            error = 1.01 * one.apply(error, absolute=True) + one.error(entry["largest"] + error)
        if kind == "add":
            parts = [forwards(branch, tensors, x_2B, error) for branch in layer["branches"]]
            entry["tapes"] = [tape for _, _, tape in parts]
            x_2B = KINDS["add"]([ends for ends, _, _ in parts])
            error = 1.01 * sum(error for _, error, _ in parts)
            error = error + 1.01 * U32 * (abs(x_2B).max(0) + error) + TINY
        else:
            known = kind in affine_kinds.KINDS or kind in ("relu", "flatten")
            require(known, f"no backward bound through {kind} here")
            if kind == "relu":  # the program's neuron is dead as well
                error = np.where(x_2B[-1] < -error, 0.0, error)
            x_2B = run([layer], tensors, x_2B)
            error = error.reshape(x_2B.shape[1:])
        tape.append(entry)
    return x_2B, error, tape


def least(tape, x_2B, rows_BSK, name, stepped=False):
    """Lower bounds (B, S) of forms of the logits, and the forms of the pixels that they are of."""
    rows, constant_BS, slack_BS = backwards(tape, rows_BSK, name, stepped)
    mid, radius = middle(x_2B)
    slack_BS = slack_BS + rounding(total(abs(rows), abs(mid) + radius), mid[0].size)
    return constant_BS + total(rows, mid) - total(abs(rows), radius) - slack_BS, rows


def middle(x_2B):
    mid = (x_2B[0] + x_2B[-1]) / 2
    return mid, np.maximum(x_2B[-1] - mid, mid - x_2B[0])


def total(rows, numbers):
    """The sum over entries of rows (B, S, ...) times numbers, (B, ...) or fewer."""
    rows_BSD = rows.reshape(*rows.shape[:2], -1)
    numbers = np.broadcast_to(numbers, rows.shape[:1] + rows.shape[2:])
    return np.einsum("bsd,bd->bs", rows_BSD, numbers.reshape(len(rows), -1))


def rounding(size_BS, n):
    """What a step may be off by whose terms are so large, its longest sum of n numbers."""
    return 1.02 * U64 * (n + 8 + 2 * STEPS) * size_BS + n * n * TINY


def backwards(tape, rows, name, stepped=False):
    """Rows (B, S, ...) over the input, a constant and what is to be taken off, (B, S) each."""
    constant_BS, slack_BS = np.zeros((2, *rows.shape[:2]))
    for entry in reversed(tape):
        shape, largest = entry["ends"].shape[2:], entry["largest"]
        front, entry["rows"] = rows.shape[:2], rows
        if "affine" in entry:
            one = entry["affine"]
            size = one.apply(largest, absolute=True) + one.size
            longest = max(largest[0].size, rows[0, 0].size)
            slack_BS += rounding(total(abs(rows), size), longest)
            constant_BS += total(rows, one.bias)
            flat = one.pull(rows.reshape(-1, *rows.shape[2:]), shape)
            rows = flat.reshape(*front, *shape)
        elif entry["kind"] == "flatten":
            rows = rows.reshape(*front, *shape)
        elif entry["kind"] == "add":
            parts = [backwards(branch, rows, name, stepped) for branch in entry["tapes"]]
            rows, constant, slack = (sum(each) for each in zip(*parts, strict=True))
            constant_BS += constant
            slack_BS += slack + rounding(total(abs(rows), largest), largest[0].size)
        else:
            entry["lines"] = lines(entry, name, stepped)
            slope, offset = chosen(entry)
            size = abs(rows) * (abs(offset) + abs(slope) * largest[:, None])
            slack_BS += rounding(size.reshape(*front, -1).sum(2), largest[0].size)
            constant_BS += (rows * offset).reshape(*front, -1).sum(2)
            rows = rows * slope
    return rows, constant_BS, slack_BS


def lines(entry, name, stepped):
    """Slopes and offsets below and above max(z, 0), moved outward by what they may be off by."""
    lower, upper = entry["ends"]
    chord = relu(upper) / np.maximum(relu(upper) + relu(-lower), TINY)
    slope = entry["step"] if stepped else LOWER[name](lower, upper, chord)
    slope = np.where(lower >= 0, 1.0, np.where(upper <= 0, 0.0, slope))
    low = np.minimum(relu(lower) - slope * lower, relu(upper) - slope * upper)
    low = np.where((lower < 0) & (upper > 0), np.minimum(low, 0), low)
    high = np.maximum(relu(lower) - chord * lower, relu(upper) - chord * upper)
    off = 4 * U64 * entry["largest"]
    return slope, low - off * (1 + abs(slope)) - TINY, chord, high + off * (1 + chord) + TINY


def relu(z):
    return np.maximum(z, 0)


def chosen(entry):
    lower, low, upper, high = (each[:, None] for each in entry["lines"])
    above = entry["rows"] > 0
    return np.where(above, lower, upper), np.where(above, low, high)


# ------------------------------------------------------------------------------------ smooth_tight


def step(tape, x_2B, y_B, low_BS, rows):
    """Lower slopes of 0 or 1, by how log(1 + sum_k exp(-margin_k)) moves with them.

    Lee et al. 2021. A margin moves with a slope as the coefficient above the neuron, where that is
    positive, times the neuron's input where the bound is attained.
    """
    share_BS = np.exp(np.minimum(-low_BS, 700))
    np.put_along_axis(share_BS, y_B[:, None], 0, 1)
    mid, radius = middle(x_2B)
    along(tape, mid[:, None] - np.sign(rows) * radius[:, None], share_BS)


def along(tape, h, share_BS):
    """Where each form's lines lead from its corner h (B, S, ...), and the steps of the slopes."""
    for entry in tape:
        front = h.shape[:2]
        if "affine" in entry:
            one = entry["affine"]
            h = one.apply(h.reshape(-1, *h.shape[2:])) + one.bias
            h = h.reshape(*front, *h.shape[1:])
        elif entry["kind"] == "flatten":
            h = h.reshape(*front, -1)
        elif entry["kind"] == "add":
            h = sum(along(branch, h, share_BS) for branch in entry["tapes"])
        else:
            gain = np.einsum("bs,bs...->b...", share_BS, np.maximum(entry["rows"], 0) * h)
            entry["step"] = 0.5 + 0.5 * np.sign(gain)
            slope, offset = chosen(entry)
            h = slope * h + offset
    return h
