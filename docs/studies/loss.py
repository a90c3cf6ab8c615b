"""What each part of the loss of 2022 gives, and the Lipschitz constant on the way to p = inf.

    python docs/studies/loss.py    # trains five nets, writes loss.csv, lipschitz.csv, loss.png

Zhang et al. 2022, arXiv:2110.06850, Sections 4 and 5: at finite p a net is no 1-Lipschitz function,
and a hinge that punishes small margins there punishes the wrong thing.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from trials import HERE, Trial, markdown, measured, write_csv

from zoo.data.load import load_data
from zoo.layers import LpDist
from zoo.plots.style import colour_of, grid, save

STUDY = "loss"
LAMBDA = {"name": "constant", "value": 0.02}
TRIALS = [
    Trial("hinge", {"objective": {"name": "hinge"}, "schedules.eps.value": 40 / 255}),
    Trial("cross_entropy", {"objective": {"name": "cross_entropy"}}),
    Trial("clipped_hinge", {"schedules.lam": {"name": "constant", "value": 0}}),
    Trial("both_fixed", {"schedules.lam": LAMBDA}),
    Trial("both_decaying", {}),
]


@torch.no_grad()
def bound(model: nn.Module) -> float:
    """prod_l I_l^(1/p): no l_p net of these sizes has a larger constant, relative to p = inf."""
    layers = [layer for layer in model.modules() if isinstance(layer, LpDist)]
    return math.prod(layer.weight_OI.shape[1] ** (1 / layer.p) for layer in layers)


def steepest(model: nn.Module, x_BCHW: Tensor, lipschitz: float, eps: float) -> float:
    """Largest |f_k(x) - f_k(x')| / |x - x'| found, relative to the constant at p = inf.

    x' lies eps away from x against the gradient of the largest logit: no constant is smaller.
    """
    x_BCHW = x_BCHW.clone().requires_grad_()
    logits_BK = model(x_BCHW)
    (gradient,) = torch.autograd.grad(logits_BK.amax(1).sum(), x_BCHW)
    with torch.no_grad():
        moved = (logits_BK - model(x_BCHW - eps * gradient.sign())).abs().max()
    return moved.item() / (eps * lipschitz)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """For a look at a net that goes on training."""
    model.eval()
    try:
        yield
    finally:
        model.train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/studies") / STUDY)
    arguments = parser.parse_args()
    x_BCHW, _ = load_data("cifar10_jpeg", "validation").take(500).batch(torch.arange(500))
    rows, constants = [], []
    for trial in TRIALS:
        log = arguments.runs / trial.name / "lipschitz.csv"

        def look(model: nn.Module, epoch: int, log: Path = log, name: str = trial.name) -> None:
            with in_eval_mode(model):
                found = steepest(model, x_BCHW, model.lipschitz, eps=1 / 255)
            p = next(layer.p for layer in model.modules() if isinstance(layer, LpDist))
            row = f"{name},{epoch},{p},{found:.4f},{bound(model):.4f}\n"
            with log.open("a", encoding="utf-8") as stream:
                stream.write(row)

        run = trial.run(STUDY, arguments.runs, look)
        rows.append(measured(trial, run))
        # A run that was resumed has some epochs twice; the later row counts.
        last = {line.split(",")[1]: line.split(",") for line in log.read_text().splitlines()}
        constants += list(last.values())
    write_csv(HERE / f"{STUDY}.csv", rows)
    head = ["trial", "epoch", "p", "on_pairs", "bound"]
    write_csv(HERE / "lipschitz.csv", [dict(zip(head, row, strict=True)) for row in constants])
    draw(constants)
    print(markdown(rows))


def draw(constants: list[list[str]]) -> None:
    """The constant of each net by epoch, measured and bounded."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(row[0] for row in constants))
    for i, name in enumerate(names):
        own = [row for row in constants if row[0] == name]
        epochs = [int(row[1]) for row in own]
        axes.plot(epochs, [float(row[3]) for row in own], color=colour_of(i), label=name)
    own = [row for row in constants if row[0] == names[-1]]
    bounds = [float(row[4]) for row in own]
    axes.plot([int(row[1]) for row in own], bounds, "k--", label="bound, all nets")
    axes.set(xlabel="epoch", ylabel="Lipschitz constant / that at p = inf", yscale="log")
    axes.legend(fontsize="small")
    grid(axes)
    save(figure, HERE / f"{STUDY}.png")


if __name__ == "__main__":
    main()
