"""Check a published model's claims again: hashes, logits to the bit, the verdict of each image.

A claim is met if every image that was certified still is. More of them is no failure: another
bound or a tighter slack may prove more.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.attacks import Attack
from zoo.cards.card import Card
from zoo.cards.index import folder_of
from zoo.certification import Report, evaluate
from zoo.data.load import load_data
from zoo.errors import ClaimError, IntegrityError
from zoo.weights import load, sha256_of

_SHOWN = 10


@dataclass(frozen=True)
class Checked:
    """A claim that was met, and what differs from when it was made.

    Attributes:
        report: the evaluation that met it.
        notes: what differs and breaks nothing: more certified images, other rounding settings.
    """

    report: Report
    notes: tuple[str, ...]


def check_claims(
    name_or_path: str | Path,
    *,
    attack: str | Attack | None = None,
    batch_size: int = 256,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Checked:
    """Evaluate a model as its card says it was, and compare image by image.

    Args:
        name_or_path: a published model, or a weight folder.
        attack: "pgd" or an Attack on every correctly classified image, or None.

    Raises:
        IntegrityError: weights, data, certificates or logits with another hash than the card's.
        ClaimError: an image that the card certifies is not certified any more.
        FalsifiedError: the attack broke a certified image.
        NotFoundError, UsageError: see load, load_data and evaluate.
    """
    net, folder = load(name_or_path, device=device), folder_of(name_or_path)
    card = Card.read(folder)
    claimed = _claimed(folder, card)
    pixels = load_data(card.data, card.split)
    if pixels.sha256 != card.split_sha256:
        raise IntegrityError(
            f"the {card.split} split of {card.data} is not the one that {card.name} was measured on"
            f"\n  expected sha256 {card.split_sha256}\n  found           {pixels.sha256}"
        )
    report = evaluate(
        net,
        pixels,
        eps=card.eps,
        bound=card.bound,
        clip=card.clip,
        attack=attack,
        batch_size=batch_size,
        dtype=card.dtype,
        device=device,
        progress=progress,
        quiet=quiet,
    )
    now = {sample["index"] for sample in report.samples if sample["status"] == "certified"}
    lost, gained = sorted(claimed - now), sorted(now - claimed)
    if lost:
        raise ClaimError(
            f"{card.name}: {len(lost)} image(s) that the card certifies are not certified here: "
            f"{_some(lost)}\n  the card's claim is not met on this machine"
        )
    if card.logits_sha256 is not None and report.logits_sha256 != card.logits_sha256:
        raise IntegrityError(
            f"{card.name}: the logits differ from those that were published, in some bit\n"
            f"  expected sha256 {card.logits_sha256}\n  found           {report.logits_sha256}\n"
            "  this net gives the same bits on every IEEE machine: report it, with zoo env"
        )
    notes = []
    if gained:
        notes.append(f"{len(gained)} image(s) more are certified than published: {_some(gained)}")
    if dict(report.numerics) != card.numerics:
        notes.append("the rounding settings are recorded differently than on the card")
    return Checked(report, tuple(notes))


def _claimed(folder: Path, card: Card) -> set[int]:
    """Images that certificates.csv certifies, after a look at its hash and counts."""
    path = folder / "certificates.csv"
    if card.certificates_sha256 is None:
        raise IntegrityError(
            f"the card of {card.name} pins no certificates: it was written by an older zoo\n"
            f"  measure it again: zoo publish {folder}"
        )
    if not path.is_file() or sha256_of(path) != card.certificates_sha256:
        raise IntegrityError(
            f"{path} is not the file that was published\n"
            f"  expected sha256 {card.certificates_sha256}\n  check it out or download it again"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    claimed = {int(row["index"]) for row in rows if row["status"] == "certified"}
    if (len(rows), len(claimed)) != (card.counts.n, card.counts.n_certified):
        raise IntegrityError(
            f"{path} certifies {len(claimed)} of {len(rows)} images, "
            f"its card {card.counts.n_certified} of {card.counts.n}"
        )
    return claimed


def _some(indices: list[int]) -> str:
    shown = ", ".join(map(str, indices[:_SHOWN]))
    return f"{shown}, ..." if len(indices) > _SHOWN else shown
