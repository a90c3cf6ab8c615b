"""Seconds an epoch of a recipe takes, averaged over its exponent schedule, and its peak memory.

    python benchmarks/epoch.py linf_dist_mlp5.mnist_eps0.3_small --width 1024 --images 60000

A few training steps are timed at each exponent of the schedule (forward, backward, optimiser, on
random images) and weighted by the share of epochs that is spent there. Random weights leave large p
little to do; with --run the weights are those of a finished run, the images those it trained on.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import platform
import shlex
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from memory import status
from torch import nn

from zoo.data.load import load_data
from zoo.layers import LpDist, MeanShift
from zoo.ops import native
from zoo.recipes import load_recipe
from zoo.runs import trained_net
from zoo.training import RunFolder
from zoo.training.environment import cpu_name

_GRID = 2000  # points of progress at which the schedule is read
_TARGET = 8e9  # pairs a second, forward and backward, that a fast kernel should reach


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--width", type=int)
    parser.add_argument("--run", help="a finished run folder, whose weights and images to take")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--steps", type=int, default=5, help="timed at each exponent")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    share = schedule_shares(recipe)
    width = arguments.width or recipe.model.arguments["width"]
    torch.manual_seed(0)
    # Threads, libraries and the kernels are there before memory is counted.
    step_seconds(*build(recipe, 16), p=1000, steps=1)
    before = status("VmRSS")
    if arguments.run:
        net, optimizer, x_BCHW = trained(arguments.run)
        width = net.num_features
    else:
        net, optimizer, x_BCHW = build(recipe, width)
    pairs = sum(layer.weight.numel() for layer in net.modules() if isinstance(layer, LpDist))
    print(f"machine  {cpu_name()}, {torch.get_num_threads()} threads, {native.describe()}")
    print(f"         torch {torch.__version__}, {platform.system()}, {datetime.date.today()}")
    print(f"command  python {shlex.join(sys.argv)}")
    print(f"net      width {width}, batch {recipe.batch_size}, {pairs:,} pairs an image")
    goal = pairs * arguments.images / _TARGET
    print(f"goal     {goal:.1f} s an epoch of {arguments.images:,}, at 8 Gpair/s there and back\n")
    print("| p | share of epochs | ms a step | Gpair/s forward + backward |\n|---|---|---|---|")
    mean = 0.0
    for p, weight in sorted(share.items()):
        seconds = step_seconds(net, optimizer, x_BCHW, p, arguments.steps)
        mean += weight * seconds
        rate = pairs * recipe.batch_size / seconds / 1e9
        print(f"| {p:.4g} | {100 * weight:.1f} % | {1e3 * seconds:.1f} | {rate:.1f} |", flush=True)
    epoch = mean * arguments.images / recipe.batch_size
    rate = pairs * arguments.images / epoch / 1e9
    print(f"| **all** | | **{1e3 * mean:.1f}** | **{rate:.1f}** |\n")
    print(f"{epoch:.1f} s an epoch of {arguments.images:,} images, goal {goal:.1f} s")
    report_memory(net, x_BCHW, 1024 * (status("VmHWM") - before))


def schedule_shares(recipe) -> dict[float, float]:
    """Share of the epochs at each exponent; a smooth schedule is read in 16 places."""
    values = [recipe.schedules.p(i / _GRID) for i in range(_GRID)]
    if len(set(values)) > 40:
        ends = range(0, _GRID, _GRID // 16)
        values = [values[min(i + _GRID // 32, _GRID - 1)] for i in ends]
    return {p: count / len(values) for p, count in Counter(values).items()}


def build(recipe, width: int):
    import timm

    import zoo.models  # noqa: F401

    sizes = {"num_classes": 10, "in_chans": 1, "img_size": 28}
    arguments = recipe.model.arguments | {"width": width, "mean": 0.1307, "std": 0.3081}
    net = timm.create_model(recipe.model.name, **sizes, **arguments)
    return net.train(), adam(net, 1e-3), torch.rand(recipe.batch_size, 1, 28, 28)


def trained(folder: str):
    """The net of a finished run, steps too small to change it, and its first training images."""
    run = RunFolder.open(folder)
    train = load_data(run.recipe.data, "train")
    net = trained_net(run, train).train()
    return net, adam(net, 1e-9), train.batch(torch.arange(run.recipe.batch_size))[0]


def adam(net: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr, betas=(0.9, 0.99), eps=1e-10)


def step_seconds(net, optimizer, x_BCHW, p: float, steps: int) -> float:
    """Median time of a step, after one to warm up."""
    net.p = p
    target_B = torch.arange(len(x_BCHW)) % 10
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        loss = nn.functional.cross_entropy(net(x_BCHW) / 10, target_B)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def report_memory(net, x_BCHW, used: int) -> None:
    """Peak beside what must be there: weights, gradients, optimiser, and the activations."""
    parameters = sum(4 * tensor.numel() for tensor in net.parameters())
    widths = [layer.weight.shape[0] for layer in net.modules() if isinstance(layer, LpDist)]
    widths += [len(layer.running_mean_O) for layer in net.modules() if isinstance(layer, MeanShift)]
    activations = 4 * len(x_BCHW) * (2 * math.prod(x_BCHW.shape[1:]) + sum(widths))
    limit = 4 * parameters + 4 * activations
    mib = 2**20
    print(
        f"peak memory {used / mib:.0f} MiB above the start; weights, gradients and optimiser "
        f"{4 * parameters / mib:.0f}, activations {activations / mib:.0f} MiB: "
        f"limit with four times these {limit / mib:.0f}"
    )


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[1])
    main()
