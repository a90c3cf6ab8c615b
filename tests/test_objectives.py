"""Objectives: the formulas by loops, the threshold's unit, and the parameters of their own.

Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file

from zoo.data.load import load_data
from zoo.objectives import objectives
from zoo.recipes import load_recipe
from zoo.training import run_training
from zoo.training.build import build_model, build_optimizer
from zoo.training.checkpoints import read_checkpoint
from zoo.training.step import Step


class Identity(torch.nn.Module):
    """Logits as they are given; its Lipschitz constant is what it is told to be."""

    def __init__(self, lipschitz: float):
        super().__init__()
        self.lipschitz = lipschitz

    def forward(self, logits_BK: torch.Tensor) -> torch.Tensor:
        return logits_BK


def random_logits(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels, some of them classified correctly and some not, in float64."""
    g = torch.Generator().manual_seed(seed)
    logits_BK = torch.randn(40, 5, generator=g, dtype=torch.float64)
    return logits_BK, torch.where(
        torch.rand(40, generator=g) < 0.5,
        logits_BK.argmax(1),
        torch.randint(0, 5, (40,), generator=g),
    )


def wrong_margins(logits_BK: torch.Tensor, y_B: torch.Tensor) -> np.ndarray:
    """f_y - f_k of the wrong classes only, (B, K - 1), by loops."""
    return np.array(
        [
            [row[y] - value for k, value in enumerate(row) if k != y]
            for row, y in zip(logits_BK.tolist(), y_B.tolist(), strict=True)
        ]
    )


@pytest.mark.parametrize("mix, kappa", [(1.0, 1.0), (0.0, 1.0), (0.75, 1.0), (0.3, 0.6)])
def test_hinge_is_the_formula(mix: float, kappa: float) -> None:
    logits_BK, y_B = random_logits()
    eps, lipschitz = 0.11, 2.5
    objective = objectives["hinge"](name="hinge", mix=mix, kappa=kappa)
    found = objective(Identity(lipschitz), logits_BK, y_B, {"eps": eps}, {}).loss.item()
    margins = wrong_margins(logits_BK, y_B)

    def hinge(theta: float) -> float:
        short = np.maximum(theta - margins, 0)
        return mix * short.max(1).mean() + (1 - mix) * short.sum() / logits_BK.numel()

    # Margins shrink by 2 L eps within the ball, eps in raw pixels.
    want = kappa * hinge(2 * lipschitz * eps) + (1 - kappa) * hinge(0.0)
    assert found == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.05, 2.0])
def test_mixture_is_the_formula(lam: float) -> None:
    logits_BK, y_B = random_logits()
    eps, lipschitz, scale = 0.2, 1.5, 0.7
    objective = objectives["mixture"](name="mixture", scale=scale)
    own = objective.parameters()
    assert list(own) == ["scale"] and own["scale"].item() == pytest.approx(scale)
    knobs = {"eps": eps, "lam": lam}
    loss = objective(
        Identity(lipschitz), logits_BK, y_B, knobs, {"scale": torch.tensor(scale)}
    ).loss
    worst = wrong_margins(logits_BK, y_B).min(1)
    hinge = np.clip(1 - worst / (2 * lipschitz * eps), 0, 1).mean()
    scaled = np.float64(np.float32(scale)) * logits_BK.numpy()
    own_logit = scaled[np.arange(len(scaled)), y_B.numpy()]
    cross_entropy = (np.log(np.exp(scaled).sum(1)) - own_logit).mean()
    assert loss.item() == pytest.approx(hinge + lam * cross_entropy, rel=1e-12)


def test_cross_entropy_is_the_formula() -> None:
    logits_BK, y_B = random_logits()
    objective = objectives["cross_entropy"](name="cross_entropy", scale=0.5)
    scaled = 0.5 * logits_BK.numpy()
    want = (np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(scaled)), y_B.numpy()]).mean()
    found = objective(Identity(1.0), logits_BK, y_B, {}, objective.parameters())
    assert found.loss.item() == pytest.approx(want, rel=1e-12)
    assert found.logits_BK is logits_BK and not objective.knobs


def test_clipped_hinge_leaves_misclassified_images_alone() -> None:
    logits_BK, y_B = random_logits()
    logits_BK.requires_grad_()
    knobs, own = {"eps": 0.2, "lam": 0.0}, {"scale": torch.tensor(1.0)}
    objectives["mixture"](name="mixture")(Identity(1.0), logits_BK, y_B, knobs, own).loss.backward()
    worst_B = torch.tensor(wrong_margins(logits_BK.detach(), y_B).min(1))
    pulled_B = (logits_BK.grad != 0).any(1)
    assert pulled_B.equal((worst_B > 0) & (worst_B < 0.4))
    assert pulled_B.any() and (worst_B < 0).any() and (worst_B > 0.4).any()


@pytest.mark.parametrize("name", ["hinge", "mixture"])
def test_label_column_never_enters_the_hinge(name: str) -> None:
    # All margins are far above the threshold: a loss that counted the label's own 0 would not be 0.
    logits_BK, y_B = 100 * torch.eye(5, dtype=torch.float64), torch.arange(5)
    knobs, own = {"eps": 0.2, "lam": 0.0}, {"scale": torch.tensor(1.0)}
    assert objectives[name](name=name)(Identity(1.0), logits_BK, y_B, knobs, own).loss.item() == 0


def test_threshold_is_in_raw_pixels() -> None:
    recipe, data = load_recipe(NAME, TINY), load_data("digits", "train")
    model = build_model(recipe.model, data).eval()
    x_BCHW, y_B = data.batch(torch.arange(64))
    hinge = objectives["hinge"](name="hinge", mix=1.0)
    with torch.no_grad():
        found = hinge(model, x_BCHW, y_B, {"eps": 0.1}, {}).loss.item()
        margins = wrong_margins(model(x_BCHW), y_B)
    theta = 2 * 0.1 / data.std  # dividing pixels by s makes a ball of raw eps one of eps / s
    assert found == pytest.approx(np.maximum(theta - margins, 0).max(1).mean(), rel=1e-5)


def test_scale_is_trained_and_is_no_part_of_the_model(tmp_path) -> None:
    recipe = load_recipe(NAME, TINY)
    step = Step(build_model(recipe.model, load_data("digits", "train")), recipe)
    optimizer = build_optimizer(step, recipe)
    assert [group["lr_share"] for group in optimizer.param_groups] == [1.0, 1.0, 0.2]
    run = run_training(recipe, out=tmp_path / "run", save_every=0, quiet=True)
    newest = run.checkpoints.latest(print)
    scale = read_checkpoint(newest).tensors["module.parameters_of_objective.scale"]
    assert scale.isfinite() and scale.item() != 1.0
    assert not [key for key in load_file(run.path / "model.safetensors") if "scale" in key]
