"""What a run trains on and selects by is not what it is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import torch

import zoo.training.loop as loop
from zoo.data.load import load_data
from zoo.recipes import load_recipe

RECIPE = "linf_dist_mlp3.digits_eps0.1"
PARTS = ("train", "validation", "test")
WHOLE = 1797  # digits in scikit-learn


def hunt() -> Iterator[str]:
    recipe = load_recipe(RECIPE, {"model.width": 4})
    run = SimpleNamespace(recipe=recipe, checkpoints=SimpleNamespace(exist=False))
    machine = SimpleNamespace(process_index=0, num_processes=1, device=torch.device("cpu"))
    parts = loop._Parts.build(run, machine)
    test = load_data(recipe.data, "test")
    for role, pixels in (("trains on", parts.data), ("selects by", parts.validation)):
        if pixels.split == "test" or pixels.sha256 == test.sha256:
            yield f"a run {role} test images"
    if parts.data.sha256 == parts.validation.sha256:
        yield "a run selects by what it trains on"
    yield from disjoint()


def disjoint() -> Iterator[str]:
    """The three splits are the data set's images, each in one of them."""
    from sklearn.datasets import load_digits

    values, _ = load_digits(return_X_y=True)
    parts = [load_data("digits", split).x_NCHW.flatten(1) for split in PARTS]
    joined = torch.cat(parts)
    if len(joined) != WHOLE or not torch.equal(joined, torch.as_tensor(values).to(torch.uint8)):
        yield f"the splits hold {[len(part) for part in parts]} images, or not each image once"
