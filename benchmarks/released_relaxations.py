"""Certify the released MNIST nets of Jovanovic et al. 2022, each by what it was trained with.

    git clone https://github.com/eth-sri/paradox
    python benchmarks/released_relaxations.py paradox --net FC --n 10000

Their checkpoints stay where they are; MNIST is looked for as everywhere else. With all 10,000
images and rounding ignored, as there, the FC row must come out to the digit: it was measured by
running their own code on the same files. Where a figure does not, the exit code is 1. hBox, DeepZ
and CROWN take some five minutes of a core each.

Shapes: B batch, S rows, K classes, D entries of a value.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import agreement
import timm
import torch
from torch import Tensor, nn

import zoo.models  # noqa: F401  (enters the architectures)
from zoo.bounds import Bound, bounds
from zoo.bounds.linear import Crown
from zoo.boxes import box
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.margins import worst
from zoo.propagation import Reach, lower_bounds
from zoo.rounding import NAIVE

EPS = "0.3"
ALL = 10_000  # images that their figures are of
ARCHITECTURES = {"FC": "fc5", "CONV": "conv1"}


class CrownAlone(Crown):
    """CROWN as theirs: no ends are intersected with intervals, which certifies a little less."""

    name = "crown alone"

    def lower(self, reach: Reach, rows_BSK: Tensor) -> Tensor:
        steps, ends, lines = reach.steps, [reach.box], self._lines()
        for i, step in enumerate(steps[:-1]):
            ends.append(step.interval([ends[j] for j in step.inputs], NAIVE))
            if step.linear and not all(before.linear for before in steps[:i]):
                value = ends[-1][0]
                eye_DD = torch.eye(value[0].numel(), dtype=value.dtype)
                rows = eye_DD.expand(len(value), *eye_DD.shape).unflatten(2, value.shape[1:])
                low_BD, minus_high_BD = (
                    lower_bounds(steps, ends, sign * rows, i + 1, lines) for sign in (1, -1)
                )
                ends[-1] = low_BD.view_as(value), -minus_high_BD.view_as(value)
        return lower_bounds(steps, ends, rows_BSK, len(steps), lines)


# Checkpoint: the bound it is certified with, and clean and certified accuracy of FC, in percent.
NETS: dict[str, tuple[type[Bound], float, float]] = {
    "box": (bounds["interval"], 88.68, 74.02),
    "crownibp1to0": (bounds["interval"], 90.80, 77.86),
    "crownibp1to1": (bounds["crown_ibp"], 92.17, 70.46),
    "hbox": (bounds["hbox"], 89.21, 56.97),
    "zono": (bounds["deepz"], 87.42, 64.17),
    "crown": (CrownAlone, 84.95, 57.35),
}


def released(file: Path, architecture: str) -> nn.Module:
    """Their weights in our net of the same geometry, in float64."""
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    model = timm.create_model(
        architecture,
        in_chans=1,
        img_size=28,
        mean=theirs.pop("layers.0.mean").item(),
        std=theirs.pop("layers.0.sigma").item(),
    )
    with torch.no_grad():
        for ours, tensor in zip(model.parameters(), theirs.values(), strict=True):
            ours.copy_(tensor)
    return model.double().eval()


@torch.no_grad()
def counts(file: Path, architecture: str, bound: Bound, test: Pixels, size: int) -> tuple[int, int]:
    """How many images a checkpoint classifies correctly, and certifies; so many at a time."""
    model, clean, certified = released(file, architecture), 0, 0
    for idx_B in torch.arange(len(test)).split(size):
        x_BCHW, y_B = test.batch(idx_B)
        x_BCHW = x_BCHW.double()
        margins_BK = bound(model, box(x_BCHW, EPS), y_B)
        clean += int((model(x_BCHW).argmax(1) == y_B).sum())
        certified += int((worst(margins_BK, y_B) > 0).sum())
    return clean, certified


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--net", choices=ARCHITECTURES, default="FC")
    parser.add_argument("--only", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--n", type=int, default=1000, help="test images, the first of them")
    parser.add_argument("--batch", type=int, default=250)
    arguments = parser.parse_args(words)
    test = load_data("mnist", "test").take(arguments.n)
    comparable, apart = arguments.net == "FC" and len(test) == ALL, []
    print(f"{'checkpoint':14}{'bound':12}{'clean':>8}{'certified':>11}{'theirs':>9}{'s':>8}")
    for name in arguments.only:
        file = arguments.checkout / "pretrained" / f"mnist_{arguments.net}_{name}.pt"
        bound, *theirs = NETS[name]
        start = time.perf_counter()
        found = counts(file, ARCHITECTURES[arguments.net], bound(), test, arguments.batch)
        seconds = time.perf_counter() - start
        clean, certified = (100 * count / len(test) for count in found)
        there = f"{theirs[1]:9.2f}" if arguments.net == "FC" else f"{'':9}"
        print(
            f"{name:14}{bound.name:12}{clean:8.2f}{certified:11.2f}{there}{seconds:8.1f}",
            flush=True,
        )
        if comparable:
            apart += agreement.percent_apart(f"{name}, correct", clean, theirs[0])
            apart += agreement.percent_apart(f"{name}, certified", certified, theirs[1])
    if not comparable:
        print(f"nothing compared: theirs are of FC and all {ALL:,} images")
    agreement.end(apart)


if __name__ == "__main__":
    main()
