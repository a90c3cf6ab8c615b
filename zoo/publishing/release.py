"""Release: a net's weight folder, every claim in it measured on the file that was written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import nn

from zoo.attacks import Attack
from zoo.attacks.pgd import PGD
from zoo.bounds import create_bound
from zoo.cards.card import Card, Counts, Curve, Slack
from zoo.cards.index import enter, folder_of, read_index
from zoo.cards.page import render_page
from zoo.certification import Report
from zoo.certification.evaluate import evaluate
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.eps import parse_eps
from zoo.errors import IntegrityError, UsageError
from zoo.models import Net
from zoo.paths import weights_dir
from zoo.rules import describe
from zoo.rules.describe import SUMS, kinds
from zoo.storage.atomic import write_bytes
from zoo.tensors import check_file, load_tensors, save_tensors, sha256_of
from zoo.weights import load, write_config

CURVE_POINTS = 41  # a quarter of them where each is a run of a bound of its own
# In the order in which they replace older ones: the card, which speaks for the others, last.
_CLAIMS = ("certificates.csv", "README.md", "config.json")
# What a card says of how its net came to be, which measuring cannot find out.
ORIGIN = "arch_args mean std training pruned_from pruned_from_sha256 averaged_from".split()
ORIGIN += "siblings learning_curves source reported license".split()


@dataclass(frozen=True)
class Claim:
    """What a weight folder says of itself: name, architecture, box, and the bound that proves."""

    name: str
    arch: str
    eps: Fraction
    bound: str
    clip: bool = True


@dataclass(frozen=True)
class Measuring:
    """How claims are measured.

    Attributes:
        attack: what certified images must survive.
        progress: called with (images done, images in all).
        quiet: say nothing on stderr.
    """

    attack: Attack | None = None
    progress: Callable[[int, int], None] | None = None
    quiet: bool = False

    def run(self, net: nn.Module, claim: Claim, test: Pixels) -> tuple[Report, Report]:
        """The evaluation at the claim's eps, attacked, and the curve up to twice that eps."""
        settings = {
            "bound": claim.bound,
            "clip": claim.clip,
            "progress": self.progress,
            "quiet": self.quiet,
        }
        attack = self.attack or PGD(steps=100, restarts=5)
        last = CURVE_POINTS - 1
        if not create_bound(claim.bound).tells_radius:
            last = max(last // 4, 1)
        end = min(2 * claim.eps, Fraction(1))
        grid = [end * Fraction(i, last) for i in range(last + 1)]
        return (
            evaluate(net, test, eps=claim.eps, attack=attack, **settings),
            evaluate(net, test, eps=grid, attack=None, **settings),
        )


def vacant(out: str | Path | None, name: str, remedy: str) -> Path:
    """The folder that will hold a new weight folder, `out` or the zoo's own.

    Raises:
        UsageError: the name is taken there.
    """
    parent = weights_dir() if out is None else Path(out)
    if (parent / name).exists():
        raise UsageError(f"{parent / name} exists: published weights never change\n  give {remedy}")
    return parent


def release(
    net: Net,
    claim: Claim,
    about: dict[str, Any],
    test: Pixels,
    parent: Path,
    measuring: Measuring,
    learning_curves: Path | None = None,
) -> Path:
    """Write a folded net's weights, certify and attack what was written, write and enter its card.

    Args:
        net: folded; what is measured is its file, read back.
        about: fields of the card that say how the net came to be.
        parent: folder that holds weight folders and index.json.
        learning_curves: image that goes into the folder.

    Returns:
        The new folder, parent/<name>.

    Raises:
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    about = about | {"arch_args": net.config | {"folded": True}}
    # Beside the target, so that the finished folder appears in one rename or not at all.
    with tempfile.TemporaryDirectory(dir=parent, prefix=".publishing-") as temporary:
        folder = Path(temporary) / claim.name
        folder.mkdir()
        save_tensors(net, folder / "model.safetensors")
        if learning_curves is not None:
            about |= {"learning_curves": f"training{learning_curves.suffix}"}
            shutil.copyfile(learning_curves, folder / about["learning_curves"])
        written = timm.create_model(claim.arch, **about["arch_args"]).eval()
        load_tensors(written, folder / "model.safetensors")
        card = write_claims(folder, written, claim, about, test, measuring)
        folder.rename(parent / claim.name)
    enter(parent, card)
    return parent / claim.name


def measure_again(name_or_path: str | Path, measuring: Measuring) -> Path:
    """Renew the claims of a weight folder: its weights stay, all that is said of them is measured.

    Returns:
        The folder.

    Raises:
        FalsifiedError: an attack broke a certified image; nothing is written.
        NotFoundError, IntegrityError: as zoo.load; other images than those of the card.
    """
    net = load(name_or_path)
    old = cast(Card, net.card)
    folder = folder_of(name_or_path).resolve()
    test = load_data(old.data, old.split)
    check_split(old, test)
    claim = Claim(old.name, old.arch, old.eps, old.bound, old.clip)
    about = {key: getattr(old, key) for key in ORIGIN}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".measuring-") as temporary:
        fresh = Path(temporary)
        shutil.copyfile(folder / "model.safetensors", fresh / "model.safetensors")
        check_file(fresh / "model.safetensors", old.sha256)
        card = write_claims(fresh, net, claim, about, test, measuring)
        for file in _CLAIMS:
            write_bytes(folder / file, (fresh / file).read_bytes())
    if old.name in read_index(folder.parent):
        enter(folder.parent, card)
    return folder


def check_split(card: Card, pixels: Pixels) -> None:
    """Refuse images that are not those that a card speaks of.

    Raises:
        IntegrityError: others.
    """
    if pixels.sha256 != card.split_sha256:
        raise IntegrityError(
            f"the {card.split} split of {card.data} is not the one that {card.name} was measured on"
            f"\n  expected sha256 {card.split_sha256}\n  found           {pixels.sha256}"
        )


def write_claims(
    folder: Path,
    net: nn.Module,
    claim: Claim,
    about: dict[str, Any],
    test: Pixels,
    measuring: Measuring,
) -> Card:
    """Measure a net whose weights lie in a folder, and write its card, page and certificates."""
    report, curve = measuring.run(net, claim, test)
    row, layers, weights = report.rows[0], describe(net), folder / "model.safetensors"
    report.samples_to_csv(folder / "certificates.csv")
    slack = [sample["slack"] for sample in report.samples]
    fixed_order = not SUMS & kinds(layers)
    card = Card(
        **about,
        name=claim.name,
        arch=claim.arch,
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
        numerics=dict(report.numerics),
        slack=Slack(mean=sum(slack) / len(slack), largest=max(slack)),
        layers=tuple(layers),
        logits_sha256=report.logits_sha256 if fixed_order else None,
        certificates_sha256=sha256_of(folder / "certificates.csv"),
        sha256=sha256_of(weights),
        bytes=weights.stat().st_size,
        params=sum(tensor.numel() for tensor in net.parameters()),
        date=row.date,
    )
    write_config(folder, card)
    (folder / "README.md").write_text(render_page(card), encoding="utf-8")
    return card
