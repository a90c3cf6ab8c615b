"""Recipes at the size of their papers: they name nets of the published size, and can be planned.

That each trains is tested with all recipes (test_recipes), at width 64.
"""

from __future__ import annotations

import pytest
import torch

from zoo.data.pixels import Pixels
from zoo.recipes import list_recipes, load_recipe
from zoo.recipes.schema import Recipe
from zoo.training.build import build_model

# Dataset: image shape, classes, training images.
DATA = {
    "mnist": ((1, 28, 28), 10, 60_000),
    "fashion_mnist": ((1, 28, 28), 10, 60_000),
    "cifar10": ((3, 32, 32), 10, 50_000),
    "tiny_imagenet": ((3, 64, 64), 200, 100_000),
}
MNIST = 784 * 5120 + 3 * 5120**2  # distance weights of the hidden layers
CIFAR = 3072 * 5120 + 4 * 5120**2
SCALE = 1  # the objective's


def head(num_in: int, width: int, num_classes: int) -> int:
    """Weights and biases of two affine layers."""
    return num_in * width + width + width * num_classes + num_classes


OUTPUT = 5120 * 10 + 10
TINY = 12288 * 5120 + 4 * 5120**2
# The published counts (82,708,491, 120,637,451, 123.2 M, 170.5 M, 170.7 M) are among them.
PARAMETERS = {
    "linf_dist_mlp5.mnist_eps0.3_2021": MNIST + OUTPUT,
    "linf_dist_mlp5.fashion_mnist_eps0.1_2021": MNIST + OUTPUT,
    "linf_dist_mlp6.cifar10_eps8_255_2021": CIFAR + OUTPUT,
    "linf_dist_hybrid4.mnist_eps0.3_2021": MNIST + head(5120, 256, 10),
    "linf_dist_hybrid4.fashion_mnist_eps0.1_2021": MNIST + head(5120, 256, 10),
    "linf_dist_hybrid5.cifar10_eps8_255_2021": CIFAR + head(5120, 512, 10),
    "linf_dist_conv5.cifar10_eps8_255_2021": 9 * (3 * 96 + 96 * 96 + 96 * 192 + 2 * 192**2)
    + 16 * 16 * 192 * 1024
    + head(1024, 512, 10),
    "linf_dist_hybrid5.tiny_imagenet_eps1_255_2021": 3 * 56**2 * 5120
    + 4 * 5120**2
    + head(5120, 512, 200),
    "linf_dist_mlp5.mnist_eps0.1": 82_708_490 + SCALE,
    "linf_dist_mlp5.mnist_eps0.3": 82_708_490 + SCALE,
    "linf_dist_mlp6.cifar10_eps2_255": 120_637_450 + SCALE,
    "linf_dist_mlp6.cifar10_eps8_255": 120_637_450 + SCALE,
    "linf_dist_mlp6.cifar10_eps16_255": 120_637_450 + SCALE,
    "sortnet_mlp5.mnist_eps0.1": 82_708_490 + SCALE,
    "sortnet_mlp5.mnist_eps0.3": 82_708_490 + SCALE,
    "sortnet_mlp6.cifar10_eps2_255": 120_637_450 + SCALE,
    "sortnet_mlp6.cifar10_eps8_255": 120_637_450 + SCALE,
    "sortnet_hybrid5.cifar10_eps2_255": CIFAR + head(5120, 512, 10) + SCALE,
    "sortnet_hybrid5.cifar10_eps8_255": CIFAR + head(5120, 512, 10) + SCALE,
    "sortnet_hybrid5.tiny_imagenet_eps1_255": TINY + head(5120, 512, 200) + SCALE,
    "sortnet_crops5.tiny_imagenet_eps1_255": 3 * 60**2 * 5120
    + 4 * 5120**2
    + head(4 * 5120, 512, 200)
    + SCALE,
}


def planned(recipe: Recipe) -> int:
    """Parameters of the recipe's net and objective, on the meta device."""
    shape, num_classes, _ = DATA[recipe.data]
    mean = (0.5,) * shape[0]
    images = torch.zeros(1, *shape, dtype=torch.uint8)
    data = Pixels(recipe.data, "train", images, torch.zeros(1).long(), num_classes, mean, 0.25)
    with torch.device("meta"):
        model = build_model(recipe.model, data)
    assert all(weight.is_meta for weight in model.parameters())
    own = sum(weight.numel() for weight in recipe.objective.parameters().values())
    return sum(weight.numel() for weight in model.parameters()) + own


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_net_has_the_published_size(name: str) -> None:
    recipe = load_recipe(name)
    assert planned(recipe) == PARAMETERS[name]
    # Each says what its paper reports, but for the one net that the paper has no figure of.
    assert set(recipe.reported) == {"clean", "pgd", "certified"} or "conv" in name


def test_the_table_lists_every_recipe_of_that_size() -> None:
    # They keep the papers' seeds, which are the years of their code.
    assert {name for name in list_recipes() if load_recipe(name).seed >= 2020} == set(PARAMETERS)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name.startswith("sortnet")])
def test_running_means_are_counted_over_one_epoch(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.recalibrate == DATA[recipe.data][2] // recipe.batch_size


@pytest.mark.parametrize("name", PARAMETERS)
def test_exponent_and_loss_move_together(name: str) -> None:
    """p stays at 8, grows to 1000 and is inf at the end; lam falls in the same epochs."""
    recipe = load_recipe(name)
    p, lam = recipe.schedules.p, recipe.schedules.lam
    assert (p(0), p(1)) == (8, float("inf"))
    assert lam is None or (lam.begin, lam.until) == (p.begin, p.until)
