"""Publish: a finished run becomes a weight folder, its claims measured on the written file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import timm
import torch

from zoo.attacks import Attack
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card, Counts, Curve, Training
from zoo.cards.index import enter, read_index
from zoo.cards.page import render_page
from zoo.certification.evaluate import evaluate
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.eps import parse_eps
from zoo.errors import UsageError
from zoo.models import LinfDistMLP, fold
from zoo.names import parse_name
from zoo.paths import weights_dir
from zoo.runs import trained_net
from zoo.training import RunFolder
from zoo.weights import check_file, load_tensors, save_tensors, sha256_of, write_config

CURVE_POINTS = 41


def publish(
    run: str | Path,
    *,
    out: str | Path | None = None,
    attack: Attack | None = None,
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Path:
    """Fold a run's net, certify and attack it on the test split, and write its weight folder.

    Args:
        run: a folder that `zoo train` finished.
        out: folder that holds weight folders and index.json; the zoo's own by default.
        attack: what certified images must survive; PGD with 100 steps and 5 restarts by default.
        progress: called with (images done, images in all).
        quiet: say nothing on stderr.

    Returns:
        The new folder, out/<name>.

    Raises:
        NotFoundError: no finished run there.
        UsageError: a recipe whose name is no model name, or a name that is taken.
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    finished = RunFolder.open(run)
    recipe = finished.recipe
    arch = parse_name(recipe.name).arch
    if arch != recipe.model.name:
        raise UsageError(f"the name {recipe.name} says {arch}, the recipe has {recipe.model.name}")
    parent = weights_dir() if out is None else Path(out)
    target = parent / recipe.name
    index = read_index(parent)  # one that is broken is better found before the work than after it
    test = load_data(recipe.data, "test")
    trained = trained_net(finished, test)
    if not isinstance(trained, LinfDistMLP):
        raise UsageError(f"publish cannot fold {type(trained).__name__}")
    if target.exists():
        if recipe.name in index or not _is_published(trained, target):
            raise UsageError(
                f"{target} exists: published weights never change\n"
                "  give the recipe a new name (a _variant at its end), or another folder with --out"
            )
        enter(parent, Card.read(target))  # all that was missing: a crash came in between
        return target
    about = {
        "mean": trained.mean,
        "std": trained.std,
        # Through JSON, where p = inf is a text: config.json is read by strict parsers too.
        "training": Training(recipe=json.loads(recipe.model_dump_json()), **finished.summary()),
        "source": recipe.source,
        "reported": recipe.reported,
    }
    claim = Claim(recipe.name, recipe.model.name, recipe.eps, recipe.bound)
    return release(
        fold(trained), claim, about, test, parent, attack=attack, progress=progress, quiet=quiet
    )


@dataclass(frozen=True)
class Claim:
    """What a weight folder says of itself: name, architecture, eps, and the bound that proves."""

    name: str
    arch: str
    eps: Fraction
    bound: str


def release(
    net: LinfDistMLP,
    claim: Claim,
    about: dict[str, Any],
    test: Pixels,
    parent: Path,
    *,
    attack: Attack | None = None,
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Path:
    """Write a folded net's weights, certify and attack what was written, write and enter its card.

    Args:
        net: folded; what is measured is its file, read back.
        about: fields of the card that say how the net came to be.
        parent: folder that holds weight folders and index.json.

    Returns:
        The new folder, parent/<name>.

    Raises:
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    arch_args: dict[str, Any] = net.config | {"folded": True}
    # Beside the target, so that the finished folder appears in one rename or not at all.
    with tempfile.TemporaryDirectory(dir=parent, prefix=".publishing-") as temporary:
        folder = Path(temporary) / claim.name
        folder.mkdir()
        weights = folder / "model.safetensors"
        save_tensors(net, weights)
        written = timm.create_model(claim.arch, **arch_args).eval()
        load_tensors(written, weights)
        attacker = attack or PGD(steps=100, restarts=5)
        settings = {"data": test, "bound": claim.bound, "progress": progress, "quiet": quiet}
        report = evaluate(written, eps=claim.eps, attack=attacker, **settings)
        end = min(2 * claim.eps, Fraction(1))
        grid = [end * Fraction(i, CURVE_POINTS - 1) for i in range(CURVE_POINTS)]
        curve = evaluate(written, eps=grid, attack=None, **settings)
        row = report.rows[0]
        card = Card(
            **about,
            name=claim.name,
            arch=claim.arch,
            arch_args=arch_args,
            data=row.data,
            split=row.split,
            split_sha256=row.split_sha256,
            eps=claim.eps,
            clip=row.clip,
            bound=row.bound,
            counts=Counts(**{key: getattr(row, key) for key in Counts.model_fields}),
            attack=row.attack,
            curve=Curve(
                eps=tuple(parse_eps(point.eps) for point in curve.rows),
                n_certified=tuple(point.n_certified for point in curve.rows),
            ),
            dtype=row.dtype,
            device=row.device,
            torch=torch.__version__,
            sha256=sha256_of(weights),
            bytes=weights.stat().st_size,
            params=sum(tensor.numel() for tensor in net.parameters()),
            date=row.date,
        )
        write_config(folder, card)
        (folder / "README.md").write_text(render_page(card), encoding="utf-8")
        report.samples_to_csv(folder / "certificates.csv")
        folder.rename(parent / claim.name)
    enter(parent, card)
    return parent / claim.name


def _is_published(trained: LinfDistMLP, folder: Path) -> bool:
    """Whether a folder holds, whole, what this net becomes when it is published."""
    card = Card.read(folder)
    check_file(folder / "model.safetensors", card.sha256)
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "model.safetensors"
        save_tensors(fold(trained), weights)
        return sha256_of(weights) == card.sha256
