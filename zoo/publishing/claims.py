"""Check a published model's claims again: hashes, logits to the bit, the verdict of each image.

A claim is met if every image that was certified still is. More of them is no failure: another
bound or a tighter slack may prove more. What an attack found is not repeated here.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from zoo.attacks import Attack
from zoo.cards.card import Card
from zoo.cards.index import folder_of
from zoo.certification import Report, evaluate
from zoo.data.load import load_data
from zoo.errors import ClaimError, IntegrityError
from zoo.publishing.release import check_split
from zoo.rules import describe
from zoo.tensors import sha256_of
from zoo.weights import load

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
        IntegrityError: weights, data, certificates or logits with another hash than the card's; a
            card whose parts contradict each other.
        ClaimError: an image that the card certifies is not certified any more, in either sense; a
            point of the card's curve that is not reached.
        FalsifiedError: the attack broke a certified image.
        NotFoundError, UsageError: see load, load_data and evaluate.
    """
    net, folder = load(name_or_path, device=device), folder_of(name_or_path)
    card = cast(Card, net.card)
    claimed = _read_claims(folder, card)
    if tuple(describe(net)) != card.layers:
        raise IntegrityError(f"{card.name}: the card lists other layers than {card.arch} has")
    pixels = load_data(card.data, card.split)
    check_split(card, pixels)
    settings: dict[str, Any] = {
        "bound": card.bound,
        "clip": card.clip,
        "batch_size": batch_size,
        "dtype": card.dtype,
        "device": device,
        "quiet": quiet,
    }
    report = evaluate(net, pixels, eps=card.eps, attack=attack, progress=progress, **settings)
    _check_images(card, claimed, report.samples)
    curve = evaluate(net, pixels, eps=card.curve.eps, attack=None, **settings)
    for row, wanted in zip(curve.rows, card.curve.n_certified, strict=True):
        if row.n_certified < wanted:
            raise ClaimError(
                f"{card.name}: {row.n_certified} images are certified at eps {row.eps}, "
                f"the card's curve says {wanted}"
            )
    if card.logits_sha256 is not None and report.logits_sha256 != card.logits_sha256:
        raise IntegrityError(
            f"{card.name}: the logits differ from those that were published, in some bit\n"
            f"  expected sha256 {card.logits_sha256}\n  found           {report.logits_sha256}\n"
            "  this net gives the same bits on every IEEE machine: report it, with zoo env"
        )
    notes = []
    if gained := _certified(report.samples) - _certified(claimed):
        notes.append(f"{len(gained)} image(s) more are certified than published: {_some(gained)}")
    if dict(report.numerics) != card.numerics:
        notes.append("the rounding settings are recorded differently than on the card")
    return Checked(report, tuple(notes))


def _check_images(card: Card, claimed: list[dict[str, Any]], found: Any) -> None:
    """Refuse a claim that some image does not meet."""
    lost = [
        was["index"]
        for was, now in zip(claimed, found, strict=True)
        if (was["status"] == "certified" and now["status"] != "certified")
        or was["a"] > now["a"]
        or was["b"] > now["b"]
    ]
    if lost:
        raise ClaimError(
            f"{card.name}: {len(lost)} image(s) that the card certifies are not certified here: "
            f"{_some(lost)}\n  the card's claim is not met on this machine"
        )
    keys = ("index", "label", "pred")
    other = [
        was["index"]
        for was, now in zip(claimed, found, strict=True)
        if any(was[key] != now[key] for key in keys)
    ]
    if other:
        raise ClaimError(
            f"{card.name}: {len(other)} image(s) have another label or class than published: "
            f"{_some(other)}"
        )


def _read_claims(folder: Path, card: Card) -> list[dict[str, Any]]:
    """Rows of certificates.csv, whose hash and sums must be those of the card."""
    path = folder / "certificates.csv"
    if card.certificates_sha256 is None:
        raise IntegrityError(
            f"the card of {card.name} pins no certificates: it was written by an older zoo\n"
            f"  measure it again: zoo publish {folder}"
        )
    if not path.is_file() or sha256_of(path) != card.certificates_sha256:
        raise IntegrityError(
            f"{path} is not the file that was published\n"
            f"  expected sha256 {card.certificates_sha256}\n"
            f"  check it out again; or measure the model again: zoo publish {folder}"
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = [
                row | {key: int(row[key]) for key in ("index", "label", "pred", "a", "b", "naive")}
                for row in csv.DictReader(file)
            ]
        status = Counter(row["status"] for row in rows)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise IntegrityError(f"{path} is no table of certificates: {error!r}") from None
    sums = {
        "n": len(rows),
        "n_clean": sum(row["pred"] == row["label"] for row in rows),
        "n_certified": status["certified"],
        "n_certified_a": sum(row["a"] for row in rows),
        "n_certified_b": sum(row["b"] for row in rows),
        "n_certified_naive": sum(row["naive"] for row in rows),
        "n_falsified": status["falsified"],
        "n_unknown": status["unknown"],
    }
    for key, wanted in card.counts.model_dump().items():
        if sums[key] != wanted:
            raise IntegrityError(f"{path} has {key} = {sums[key]}, its card says {wanted}")
    return rows


def _certified(samples: Any) -> set[int]:
    return {sample["index"] for sample in samples if sample["status"] == "certified"}


def _some(indices: Any) -> str:
    shown = ", ".join(map(str, sorted(indices)[:_SHOWN]))
    return f"{shown}, ..." if len(indices) > _SHOWN else shown
