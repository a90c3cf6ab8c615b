"""A backward linear bound (CROWN) in numpy, the same code for floats and for Fractions.

Shapes: B batch, S rows of the specification, O/I a layer's outputs and inputs, D entries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tests import oracles
from zoo.rounding import Ledger, unit_roundoff

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Chain:
    """Linear layers with ReLUs between them, a box, and a valid relaxation of each ReLU.

    Attributes:
        lower_BD, upper_BD: the box.
        alpha, slope, intercept: alpha a <= relu(a) <= slope a + intercept for each hidden layer.
        magnitudes: X_l, the size of each layer's input over the box.
    """

    weights: list[Array]
    biases: list[Array]
    spec_SK: Array
    lower_BD: Array
    upper_BD: Array
    alpha: list[Array]
    slope: list[Array]
    intercept: list[Array]
    magnitudes: list[Array]

    @staticmethod
    def random(seed: int, dtype: torch.dtype) -> Chain:
        """Three layers with weights over two decades, and any valid slopes."""
        g = np.random.default_rng(seed)
        kind = np.dtype(str(dtype).removeprefix("torch."))
        sizes = [4, 7, 6, 3]
        shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        weights = [g.normal(size=s) * 10 ** g.uniform(-1, 1, s) for s in shapes]
        biases = [g.normal(size=o) for o in sizes[1:]]
        weights, biases = ([a.astype(kind) for a in arrays] for arrays in (weights, biases))
        x_BD, radius = g.random((2, 4)), g.uniform(0, 0.5)
        lower_BD, upper_BD = (x_BD - radius).astype(kind), (x_BD + radius).astype(kind)
        spec_SK = np.array([[1, -1, 0], [1, 0, -1]]).astype(kind)
        alpha, slope, intercept = [], [], []
        magnitudes = [np.maximum(np.abs(lower_BD), np.abs(upper_BD))]
        low, high = lower_BD.astype(np.float64), upper_BD.astype(np.float64)
        unit = unit_roundoff(dtype)
        for weight_OI, bias_O in zip(weights[:-1], biases[:-1], strict=True):
            mid, half = (low + high) / 2, (high - low) / 2
            centre, spread = mid @ weight_OI.T + bias_O, half @ np.abs(weight_OI).T
            low, high = centre - spread - 1e-9, centre + spread + 1e-9
            stable, crossing = np.where(low >= 0, 1.0, 0.0), (low < 0) & (high > 0)
            share = np.where(crossing, high / (high - low), stable).astype(kind)
            offset = np.where(crossing, np.maximum(-share * low, (1 - share) * high), 0)
            alpha.append(np.where(crossing, g.random(low.shape), stable).astype(kind))
            slope.append(share)
            intercept.append((offset * (1 + 8 * unit)).astype(kind))
            low, high = np.maximum(low, 0), np.maximum(high, 0)
            magnitudes.append(high.astype(kind) * kind.type(1 + 4 * unit))
        return Chain(
            weights, biases, spec_SK, lower_BD, upper_BD, alpha, slope, intercept, magnitudes
        )

    def exactly(self) -> Chain:
        """The same numbers as Fractions."""
        fields = {}
        for name, value in vars(self).items():
            many = isinstance(value, list)
            fields[name] = [oracles.exactly(v) for v in value] if many else oracles.exactly(value)
        return replace(self, **fields)


def backward_bound(chain: Chain) -> tuple[Array, Array | None]:
    """Lower bounds (B, S) of spec . f over the box; for floats, S of zoo.rounding too."""
    records = []
    row_BSD = np.broadcast_to(chain.spec_SK, (len(chain.lower_BD), *chain.spec_SK.shape))
    total_BS = 0 * row_BSD[..., 0]
    for i in reversed(range(len(chain.weights))):
        weight_OI, bias_O = chain.weights[i], chain.biases[i]
        records.append((row_BSD, chain.magnitudes[i] @ np.abs(weight_OI).T + np.abs(bias_O)))
        total_BS = total_BS + (row_BSD * bias_O).sum(-1)
        row_BSD = row_BSD @ weight_OI
        if i:
            zero = row_BSD.flat[0] * 0
            rising, falling = np.maximum(row_BSD, zero), np.minimum(row_BSD, zero)
            # An activation's input is at most as large as the layer before it makes of its own.
            largest = chain.magnitudes[i - 1] @ np.abs(chain.weights[i - 1]).T
            largest = largest + np.abs(chain.biases[i - 1])
            records.append((row_BSD, largest + chain.intercept[i - 1]))
            total_BS = total_BS + (falling * chain.intercept[i - 1][:, None]).sum(-1)
            row_BSD = rising * chain.alpha[i - 1][:, None] + falling * chain.slope[i - 1][:, None]
    zero = row_BSD.flat[0] * 0
    lowest = np.maximum(row_BSD, zero) * chain.lower_BD[:, None]
    lowest = lowest + np.minimum(row_BSD, zero) * chain.upper_BD[:, None]
    total_BS = total_BS + lowest.sum(-1)
    records.append((row_BSD, chain.magnitudes[0]))
    if chain.spec_SK.dtype == object:
        return total_BS, None
    ledger = Ledger()
    for coefficient, magnitude in records:
        ledger.record(_tensor(coefficient), _tensor(magnitude)[:, None])
    return total_BS, ledger.slack().numpy()


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
