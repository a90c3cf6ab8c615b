"""What bounds cost: a training step by each, and certificates of 10,000 images.

    python benchmarks/bounds.py                      # the CONV net of Jovanovic et al. 2022
    python benchmarks/bounds.py --arch cnn5 --batch 50 --images 200

Times are wall-clock, each the median of several steps with all losses taking turns, so that a busy
moment meets them all. Certificates are timed on random images, as bounds cost the same on any, and
scaled to 10,000.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo.models  # noqa: F401  (enters the architectures)
from zoo.certification import certify
from zoo.objectives import objectives

SHARES = {"eps": 0.1, "kappa": 1.0, "half": 0.5}
CERTIFIED = ("interval", "crown_ibp", "best", "smooth_tight", "crown")


def losses() -> dict[str, Mapping[str, Any]]:
    """Objectives by what the table calls them."""
    robust = {"name": "robust_cross_entropy"}
    clean = {"name": "cross_entropy"}
    half = {"name": "mix", "by": "half", "of": [robust, clean]}
    named: dict[str, Mapping[str, Any]] = {
        bound: {"name": "sum", "terms": [{**robust, "bound": bound}]}
        for bound in ("interval", "crown_ibp", "smooth_tight", "cap_ibp")
    }
    named["interval, half of it clean"] = {"name": "sum", "terms": [half]}
    named["crown_ibp, fused"] = {"name": "sum", "terms": [{"name": "fused_cross_entropy"}]}
    return named


def step(model: nn.Module, loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> float:
    """Seconds of forward, backward and update."""
    began = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss().backward()
    optimizer.step()
    return time.perf_counter() - began


def steps(model: nn.Module, x_BCHW: Tensor, y_B: Tensor, rounds: int) -> dict[str, float]:
    """Median seconds of a step by each loss, the natural one first."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, fused=True)

    def by(settings: Mapping[str, Any]) -> Callable[[], Tensor]:
        objective = objectives[settings["name"]].model_validate(settings)
        return lambda: objective(model, x_BCHW, y_B, SHARES, {}).loss

    runs = {"natural": lambda: F.cross_entropy(model(x_BCHW), y_B)}
    runs |= {name: by(settings) for name, settings in losses().items()}
    for run in runs.values():
        step(model, run, optimizer)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(step(model, run, optimizer))
    return {name: statistics.median(each) for name, each in taken.items()}


def certificates(model: nn.Module, x_BCHW: Tensor, y_B: Tensor, bound: str) -> float:
    """Seconds for 10,000 images: naive, A and B."""
    few = slice(0, 2 if bound == "crown" else 8)
    certify(model, x_BCHW[few], y_B[few], "0.1", bound=bound)
    number = len(x_BCHW) if bound != "crown" else max(8, len(x_BCHW) // 32)
    began = time.perf_counter()
    certify(model, x_BCHW[:number], y_B[:number], "0.1", bound=bound)
    return (time.perf_counter() - began) / number * 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="conv1", help="of timm's registry; MNIST's shape")
    parser.add_argument("--batch", type=int, default=100, help="images of a training step")
    parser.add_argument("--images", type=int, default=512, help="images that are certified")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    torch.manual_seed(0)
    model = timm.create_model(asked.arch, in_chans=1, img_size=28)
    x_BCHW = torch.rand(max(asked.batch, asked.images), 1, 28, 28)
    y_B = torch.randint(0, 10, (len(x_BCHW),))
    print(f"{asked.arch}, {torch.get_num_threads()} thread(s), torch {torch.__version__}\n")
    print(f"| training step, batch {asked.batch} | ms | natural steps |\n|---|---|---|")
    taken = steps(model, x_BCHW[: asked.batch], y_B[: asked.batch], asked.rounds)
    for name, seconds in taken.items():
        print(f"| {name} | {1000 * seconds:.1f} | {seconds / taken['natural']:.1f} |")
    print("\n| certificates of 10,000 images (naive, A and B) | s |\n|---|---|")
    model.eval()
    for bound in CERTIFIED:
        images = x_BCHW[: asked.images], y_B[: asked.images]
        print(f"| {bound} | {certificates(model, *images, bound):.1f} |")


if __name__ == "__main__":
    main()
