"""The same bounds of the same net here and in auto_LiRPA: do they agree, and what do they cost?

    git clone https://github.com/Verified-Intelligence/auto_LiRPA
    python benchmarks/auto_lirpa.py auto_LiRPA --arch conv1 --batch 100

Its own requirements have to be installed beside the zoo's. Times are CPU seconds of this process,
of a training step (forward, backward, Adam) and of bounds alone, each the median of several, the
two programs taking turns. The exit code is 1 where margins are more than 1e-5 apart.

Shapes: B batch, S = K - 1 rows, K classes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import agreement
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo.models  # noqa: F401  (enters the architectures)
from zoo.bounds import bounds
from zoo.boxes import box
from zoo.propagation import margins_by_rows, spread_margins

METHODS = {"interval": "IBP", "crown_ibp": "CROWN-IBP", "crown": "CROWN"}
EPS = "0.1"
TOLERANCE = 1e-5


def theirs(model: nn.Module, x_BCHW: Tensor, y_B: Tensor, method: str) -> Callable[[], Tensor]:
    """Their margins_BK as a function."""
    from auto_LiRPA import BoundedModule, BoundedTensor  # type: ignore[import-not-found]
    from auto_LiRPA.perturbations import (  # type: ignore[import-not-found]
        PerturbationLpNorm,
    )

    around = box(x_BCHW, EPS)
    bounded = BoundedModule(model, torch.empty_like(x_BCHW), device="cpu")
    rows_BSK = margins_by_rows(y_B, 10, x_BCHW.dtype)

    def margins() -> Tensor:
        ends = {"x_L": around.lower_BCHW, "x_U": around.upper_BCHW}
        inside = BoundedTensor(x_BCHW, PerturbationLpNorm(norm=float("inf"), **ends))
        lower_BS, _ = bounded.compute_bounds(
            x=(inside,), C=rows_BSK, method=method, bound_upper=False
        )
        return spread_margins(lower_BS, y_B)

    return margins


def ours(model: nn.Module, x_BCHW: Tensor, y_B: Tensor, name: str) -> Callable[[], Tensor]:
    """Our margins_BK as a function."""
    return lambda: bounds[name]()(model, box(x_BCHW, EPS), y_B)


def training_step(model: nn.Module, margins: Callable[[], Tensor], y_B: Tensor) -> float:
    """CPU seconds of one step."""
    start = time.process_time()
    model.zero_grad()
    F.cross_entropy(-margins(), y_B).backward()
    torch.optim.Adam(model.parameters(), 1e-9).step()
    return time.process_time() - start


@torch.no_grad()
def bounds_alone(model: nn.Module, margins: Callable[[], Tensor], y_B: Tensor) -> float:
    """CPU seconds of bounds without gradients."""
    start = time.process_time()
    margins()
    return time.process_time() - start


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--arch", default="conv1")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=["interval", "crown_ibp"])
    arguments = parser.parse_args(words)
    sys.path.insert(0, str(arguments.checkout))
    torch.manual_seed(0)
    # Without a Normalize, which their graph would see as other layers.
    net = timm.create_model(arguments.arch, in_chans=1, img_size=28).eval()
    model = nn.Sequential(*list(net.layers)[1:]).eval()
    x_BCHW = torch.rand(arguments.batch, 1, 28, 28)
    y_B = torch.randint(0, 10, (arguments.batch,))
    print(
        f"{'bound':12}{'differs by':>12}{'what':>16}{'ours, ms':>12}{'theirs, ms':>12}{'ratio':>8}"
    )
    apart: list[str] = []
    for name in arguments.only:
        pair = ours(model, x_BCHW, y_B, name), theirs(model, x_BCHW, y_B, METHODS[name])
        with torch.no_grad():
            found = pair[0](), pair[1]()
        differs = (found[0] - found[1]).abs().max().item()
        apart += agreement.margins_apart(name, *found, TOLERANCE)
        for cost in training_step, bounds_alone:
            turns = [[cost(model, each, y_B) for each in pair] for _ in range(arguments.repeats)]
            mine, other = (1000 * statistics.median(t) for t in zip(*turns, strict=True))
            what = cost.__name__.replace("_", " ")
            print(
                f"{name:12}{differs:12.1e}{what:>16}{mine:12.1f}{other:12.1f}{other / mine:8.2f}",
                flush=True,
            )
    agreement.end(apart)


if __name__ == "__main__":
    main()
