"""The card of a published model: fields, and config.json, where it lies beside timm's own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from zoo.errors import IntegrityError, NotFoundError
from zoo.fields import EpsField, Number, Strict
from zoo.names import contradiction, is_name
from zoo.storage.read import MAX_JSON_BYTES, read_bounded, shown, strict_json


class Counts(Strict):
    """Images of the test split, counted; the meanings are those of zoo.certification.report.Row."""

    n: int
    n_clean: int
    n_certified: int
    n_certified_a: int
    n_certified_b: int
    n_certified_naive: int
    n_falsified: int
    n_unknown: int

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if self.n_certified + self.n_falsified + self.n_unknown != self.n_clean:
            raise ValueError("certified + falsified + unknown must be the clean count")
        return self


class Curve(Strict):
    """Certified images (A and B) at each eps."""

    eps: tuple[EpsField, ...]
    n_certified: tuple[int, ...]

    @model_validator(mode="after")
    def _as_long(self) -> Self:
        if len(self.eps) != len(self.n_certified):
            raise ValueError("a curve needs one count an eps")
        return self


class Slack(Strict):
    """How far rounding pushed the margins down, in logits, over all images of the split."""

    mean: Number
    largest: Number


class Training(Strict):
    """How the weights came to be: enough to make them again.

    Sums over threads round differently, so `threads` belongs to it; None where it was not recorded.

    Attributes:
        init, init_sha256: the net that training started from, and the hash of its weight file; None
            where it started from random weights.
        teacher, teacher_sha256: the net whose soft labels training used, and the hash of its weight
            file; None where there was none.
        commit: of the code; several where a run was resumed under another.
    """

    recipe: dict[str, Any]
    seed: int
    selected_epoch: int
    validation_certified_acc: Number
    seconds: Number
    device: str
    threads: int | None = None
    processes: int = 1
    init: str | None = None
    init_sha256: str | None = None
    teacher: str | None = None
    teacher_sha256: str | None = None
    torch: str
    python: str
    zoo: str
    commit: str


class Sibling(Strict):
    """The same recipe under another seed: what it gave on the same images, A and B, unattacked."""

    seed: int
    validation_certified_acc: Number
    n_clean: int
    n_certified: int
    seconds: Number


class Member(Strict):
    """A published net that an average was made of, and the hash of its weight file."""

    name: str
    sha256: str


class Card(Strict):
    """A published model.

    Attributes:
        arch_args: arguments of the architecture that make this net.
        mean, std: the normalisation that was folded into the weights, in pixel units.
        sha256, bytes: of model.safetensors.
        split_sha256: of the test images and labels that were counted.
        curve: certified counts at 41 eps, or 11 where each takes a run of the bound.
        layers: the net as zoo.rules.describe gives it, for checkers that do not know this package.
        certificates_sha256: of certificates.csv, the verdict of every image.
        logits_sha256: of the program's logits on the whole split, in the split's order, row after
            row, little-endian; None for a net whose sums have no fixed order.
        numerics: the rounding settings under which everything was proved.
        pruned_from, pruned_from_sha256: the net whose edges these are, and the hash of its weight
            file; None for a net that has all its edges. `training` is then that net's.
        siblings: the recipe's other seeds. The published one certified the most validation images.
        learning_curves: file beside the weights that shows the training run.
        averaged_from: the nets whose average this is; `training` is then that of the first.
        reported: what a paper reports for the method, in percent; not ours.
    """

    name: str
    arch: str
    arch_args: dict[str, Any]
    mean: tuple[float, ...]
    std: float
    data: str
    split: str
    split_sha256: str
    norm: str = "linf"
    eps: EpsField
    clip: bool
    bound: str
    counts: Counts
    attack: str
    curve: Curve
    dtype: str
    device: str
    torch: str
    numerics: dict[str, Any] = Field(default_factory=dict)
    slack: Slack | None = None
    layers: tuple[dict[str, JsonValue], ...] = ()
    logits_sha256: str | None = None
    certificates_sha256: str | None = None
    sha256: str
    bytes: int
    params: int
    training: Training
    pruned_from: str | None = None
    pruned_from_sha256: str | None = None
    averaged_from: tuple[Member, ...] = ()
    siblings: tuple[Sibling, ...] = ()
    learning_curves: str | None = None
    source: str
    reported: dict[str, Number] = Field(default_factory=dict)
    license: str = "Apache-2.0"
    date: str

    def percent(self, count: int) -> float:
        """A count as a percentage of the split."""
        return round(100 * count / self.counts.n, 2)

    @property
    def clean_acc(self) -> float:
        """Clean accuracy in percent."""
        return self.percent(self.counts.n_clean)

    @property
    def certified_acc(self) -> float:
        """Certified accuracy in percent, at the card's eps."""
        return self.percent(self.counts.n_certified)

    @property
    def empirical_acc(self) -> float | None:
        """Accuracy under the card's attack in percent."""
        if self.attack == "none":
            return None
        return self.percent(self.counts.n_certified + self.counts.n_unknown)

    @property
    def seeds(self) -> list[Sibling]:
        """What every seed gave, the published one among them, by seed."""
        own = Sibling(
            seed=self.training.seed,
            validation_certified_acc=self.training.validation_certified_acc,
            n_clean=self.counts.n_clean,
            n_certified=self.counts.n_certified,
            seconds=self.training.seconds,
        )
        return sorted((own, *self.siblings), key=lambda each: each.seed)

    def to_config(self) -> dict[str, Any]:
        """Content of config.json: timm's keys, so that its local-dir: and hf-hub: work, and ours.

        Pixels go into the net raw, so timm's normalisation is that of mean 0 and std 1.
        """
        size = self.arch_args["img_size"]
        return {
            "architecture": self.arch,
            "num_classes": self.arch_args["num_classes"],
            "model_args": self.arch_args,
            "pretrained_cfg": {
                "tag": self.name.partition(".")[2],
                "input_size": [self.arch_args["in_chans"], size, size],
                "fixed_input_size": True,
                "crop_pct": 1.0,
                "mean": [0.0],
                "std": [1.0],
                "num_classes": self.arch_args["num_classes"],
                "license": self.license,
            },
            "zoo": self.model_dump(mode="json"),
        }

    @classmethod
    def read(cls, folder: Path) -> Card:
        """The card in a weight folder.

        Raises:
            NotFoundError: no config.json there.
            IntegrityError: one that holds no valid card.
        """
        path = folder / "config.json"
        if not path.is_file():
            raise NotFoundError(
                f"{folder} is not a weight folder: it has no config.json\n"
                "  zoo publish RUN makes one; zoo list shows those that come with the zoo"
            )
        try:
            card = cls.model_validate(strict_json(read_bounded(path, MAX_JSON_BYTES))["zoo"])
            reason = f"{shown(card.name)} is not a model name"
            if is_name(card.name):  # folders are called after it
                said = contradiction(card.name, card.arch, card.data, card.eps)
                if said is None:
                    return card
                reason = f"{card.name}: {said}"
        except ValidationError as error:
            # A line each for the first few: a file of a megabyte can hold a hundred thousand.
            details = error.errors(include_url=False, include_context=False)
            lines = [
                f"{shown('.'.join(map(str, detail['loc'])))}: {detail['msg'][:200]}"
                for detail in details[:5]
            ]
            reason = "\n  ".join([f"{len(details)} error(s)", *lines])
        except KeyError:
            reason = "it has no key 'zoo'"
        except (ValueError, TypeError) as error:
            reason = str(error)
        raise IntegrityError(f"{path} holds no valid model card: {reason}")
