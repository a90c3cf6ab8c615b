"""Results: integer counts tied to weights and data, as rows, JSON and CSV. No torch here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model at one eps. Percentages are derived, never stored.

    n = n_certified + n_falsified + n_unknown + the misclassified.
    """

    model: str
    data: str
    split: str
    split_sha256: str
    norm: str
    eps: str
    clip: bool
    bound: str
    n: int
    n_clean: int
    n_certified: int
    n_certified_a: int
    n_certified_b: int
    n_certified_naive: int
    n_falsified: int
    n_unknown: int
    attack: str
    dtype: str
    device: str
    seconds: float
    torch: str
    zoo: str
    sha256: str
    recipe: str
    date: str

    def __post_init__(self) -> None:
        assert self.n_certified + self.n_falsified + self.n_unknown == self.n_clean <= self.n
        assert self.n_certified <= min(self.n_certified_a, self.n_certified_b)

    @property
    def clean_acc(self) -> float:
        """Clean accuracy in percent."""
        return self._percent(self.n_clean)

    @property
    def certified_acc(self) -> float:
        """Certified accuracy in percent: proved in both senses."""
        return self._percent(self.n_certified)

    @property
    def empirical_acc(self) -> float | None:
        """Accuracy under the attack in percent; None without an attack."""
        return None if self.attack == "none" else self._percent(self.n_certified + self.n_unknown)

    def _percent(self, count: int) -> float:
        return round(100 * count / self.n, 2)

    def to_dict(self) -> dict[str, Any]:
        """All columns in their published order."""
        return {column: getattr(self, column) for column in COLUMNS}


COLUMNS = (
    "model data split split_sha256 norm eps clip bound n n_clean n_certified n_certified_a "
    "n_certified_b n_certified_naive n_falsified n_unknown clean_acc certified_acc empirical_acc "
    "attack dtype device seconds torch zoo sha256 recipe date"
).split()

SAMPLE_COLUMNS = "index label pred status naive a b margin radius slack".split()


@dataclass(frozen=True)
class Report:
    """Rows of an evaluation, and what was found for each image at the first eps.

    Attributes:
        rows: one a eps.
        samples: mappings with the keys of SAMPLE_COLUMNS, in the order of the split.
        logits_sha256: hash of all logits, row after row, little-endian, in the program's dtype.
        numerics: the rounding settings under which everything was proved.
        run: the run folder, where training made the report.
    """

    rows: Sequence[Row]
    samples: Sequence[dict[str, Any]] = field(default=(), repr=False)
    logits_sha256: str = ""
    numerics: Mapping[str, Any] = field(default_factory=dict, repr=False)
    run: Path | None = None

    def to_json(self) -> str:
        """A JSON list of rows."""
        return rows_to_json(self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as CSV."""
        write_csv(path, COLUMNS, (row.to_dict() for row in self.rows))

    def samples_to_csv(self, path: str | Path) -> None:
        """Write one line an image as CSV."""
        write_csv(path, SAMPLE_COLUMNS, self.samples)


def rows_to_json(rows: Iterable[Row]) -> str:
    """A JSON list of rows."""
    return json.dumps([row.to_dict() for row in rows], indent=2)


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write mappings as CSV, None as an empty cell."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
