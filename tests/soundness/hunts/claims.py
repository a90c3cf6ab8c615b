"""Published claims that are not met must not pass a check: some, planted in copies of a folder."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from soundness.asking import published, refuses
from zoo.cards.card import Card
from zoo.certification.report import SAMPLE_COLUMNS, write_csv
from zoo.publishing.claims import check_claims


def hunt() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as temporary:
        for i, (what, plant) in enumerate(PLANTED.items()):
            folder = Path(shutil.copytree(published(), Path(temporary) / str(i)))
            plant(folder)
            if refuses(lambda: check_claims(folder, quiet=True)) != (what != "nothing"):  # noqa: B023
                yield f"check_claims, with {what} planted, gives the wrong answer"


def edit_card(folder: Path, **fields: object) -> None:
    """Write other fields into a card, without a look at what they say."""
    config = json.loads((folder / "config.json").read_text())
    config["zoo"].update(fields)
    (folder / "config.json").write_text(json.dumps(config))


def _one_more(folder: Path) -> None:
    """Another image certified, and a card that vouches for it."""
    path = folder / "certificates.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["status"] in ("unknown", "falsified"))
    counts = Card.read(folder).counts.model_dump()
    counts[f"n_{row['status']}"] -= 1
    counts["n_certified"] += 1
    row["status"] = "certified"
    write_csv(path, SAMPLE_COLUMNS, rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_card(folder, certificates_sha256=digest, counts=counts)


def _one_more_without_a_card(folder: Path) -> None:
    path = folder / "certificates.csv"
    path.write_text(path.read_text().replace("misclassified", "certified", 1))


def _one_more_in_the_counts(folder: Path) -> None:
    counts = Card.read(folder).counts.model_dump()
    counts["n_certified"] += 1
    counts["n_clean"] += 1
    edit_card(folder, counts=counts)


def _another_class(folder: Path) -> None:
    """An image's class changed, and a card that vouches for it."""
    path = folder / "certificates.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["status"] == "misclassified" and row["pred"] != "-1")
    row["pred"] = str(next(k for k in range(10) if str(k) not in (row["pred"], row["label"])))
    write_csv(path, SAMPLE_COLUMNS, rows)
    edit_card(folder, certificates_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def _higher_curve(folder: Path) -> None:
    curve = Card.read(folder).curve.model_dump(mode="json")
    curve["n_certified"][-1] += 1
    edit_card(folder, curve=curve)


PLANTED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "a false row": _one_more,
    "a false row that the card does not vouch for": _one_more_without_a_card,
    "a false count": _one_more_in_the_counts,
    "other logits": lambda folder: edit_card(folder, logits_sha256="0" * 64),
    "other test images": lambda folder: edit_card(folder, split_sha256="0" * 64),
    "another class of an image": _another_class,
    "a curve that promises more": _higher_curve,
    "other layers": lambda folder: edit_card(folder, layers=[{"kind": "relu"}]),
    "an eps that its name does not say": lambda folder: edit_card(folder, eps="0.0001"),
    "other weights": lambda folder: edit_card(folder, sha256="0" * 64),
}
