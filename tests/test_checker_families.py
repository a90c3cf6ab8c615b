"""A small net of every family, as the package publishes it, judged by the stand-alone checker.

Shapes: O outputs, K order statistics.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from tests.checker_families import publish_families
from tests.checker_folders import rows_of, safetensors, write
from tests.checker_tool import TOOL, checker
from zoo.architectures import architectures
from zoo.cards.page import CHECKED
from zoo.models.relu_net import GEOMETRIES

Tensors = dict[str, np.ndarray]
# Images that find what was planted; all are checked once.
SOME = 240


@pytest.fixture(scope="module")
def folders(shelf: Path, tmp_path_factory) -> dict[str, Path]:
    """Weight folders by name."""
    made = publish_families(shelf, tmp_path_factory.mktemp("families"))
    return {folder.name: folder for folder in made}


def check(*folders: Path, limit: int = 360) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOL, *folders, "--exact", "1", "--limit", str(limit)]
    env = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)


def copies(folders: dict[str, Path], where: Path) -> list[Path]:
    return [Path(shutil.copytree(folder, where / name)) for name, folder in folders.items()]


def with_tensors(folder: Path, change: Callable[[Tensors], None]) -> Path:
    """Other weights, for which the card vouches."""
    tensors = load((folder / "model.safetensors").read_bytes())
    change(tensors)
    return write(folder, safetensors(tensors))


def test_every_family_is_published_here(folders):
    published = {re.sub(r"\d+$", "", name.partition(".")[0]) for name in folders}
    # Of plain ReLU nets some stand for all.
    alike = {re.sub(r"\d+$", "", arch) for arch in GEOMETRIES} - published
    assert published == {re.sub(r"\d+$", "", arch) for arch in architectures()} - alike
    assert {"cnn", "cnn7_bn"} <= published


def test_cards_point_to_the_checker_where_it_knows_the_bound():
    known = {*checker.check_certificates.INTERVALS, *checker.backward_bounds.BOUNDS}
    assert known == {*CHECKED}


def test_the_checker_agrees_on_every_image_of_every_family(folders):
    done = check(*folders.values())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("360 images, 360 agree") == len(folders)
    assert done.stdout.count(" 0 within rounding") == len(folders)
    for name, folder in folders.items():
        status = [row[3] for row in rows_of(folder)]
        assert min(status.count(each) for each in ("certified", "unknown")) > 0, name


def test_margins_are_those_of_the_package(folders):
    """Column margin is the smaller of A and B, and rounding costs little."""
    reading, checking = checker.weight_folder, checker.check_certificates
    for name, folder in folders.items():
        card = reading.read_folder(folder, Path())
        _, a, b, _, _ = checking.verdicts(card, SOME, 0)
        margin = card["rows"]["margin"][:SOME].astype(float)
        assert np.abs(np.minimum(a, b) - margin).max() < 2e-3, name
        assert (b > margin - 1e-5).all(), name  # by the box, whatever the bound


def test_a_flipped_verdict_is_found_in_every_family(folders, tmp_path):
    made = copies(folders, tmp_path)
    for folder in made:
        rows = rows_of(folder)
        unknown = [row for row in rows[:SOME] if row[3] == "unknown"]
        weakest = min(unknown, key=lambda row: float(row[7]))
        weakest[3:7] = ["certified", 1, 1, 1]
        write(folder, rows=rows)
    done = check(*made, limit=SOME)
    assert done.returncode == 1 and not done.stderr
    assert done.stdout.count(f" {SOME - 1} agree") == done.stdout.count(": claimed") == len(made)


def test_a_changed_weight_is_found_in_every_family(folders, tmp_path):
    def change(tensors: Tensors) -> None:
        tensors[max(key for key in tensors if key.endswith("bias"))][3] -= 0.25

    made = [with_tensors(folder, change) for folder in copies(folders, tmp_path)]
    done = check(*made, limit=SOME)
    assert done.returncode == 1 and not done.stderr
    assert not re.findall(f" {SOME} agree", done.stdout) and done.stdout.count("ok\n") == 0


def just_above_one(row: np.ndarray) -> None:
    """Scale numbers so that the sum of their sizes is above 1, by about a unit of float32."""
    row /= np.abs(row).sum()
    first = np.abs(row).argmax()
    while sum(Fraction(abs(float(v))) for v in row) <= 1:
        row[first] = np.nextafter(row[first], np.copysign(np.float32(2), row[first]))


def order_above_one(tensors: Tensors) -> None:
    just_above_one(tensors["layers.dist2.order_K"])


def order_of_both_signs(tensors: Tensors) -> None:
    tensors["layers.dist2.order_K"][-1] *= -1


def norm_above_one(tensors: Tensors) -> None:
    just_above_one(tensors["layers.linear2.weight"][5])


REFUSED = [
    ("sortnet_mlp3.digits_eps0.02", order_above_one, "sum to at most 1"),
    ("sortnet_mlp3.digits_eps0.02_by_lipschitz", order_above_one, "sum to at most 1"),
    ("sortnet_hybrid3.digits_eps0.01", order_of_both_signs, "must be positive"),
    ("group_sort_mlp3.digits_eps0.02", norm_above_one, "above 1"),
]


@pytest.mark.parametrize(("name", "change", "reason"), REFUSED)
def test_weights_with_which_a_proof_fails_are_refused(folders, name, change, reason, tmp_path):
    folder = Path(shutil.copytree(folders[name], tmp_path / "copy"))
    done = check(with_tensors(folder, change))
    assert done.returncode == 1 and reason in done.stderr and done.stderr.count("\n") == 1


def test_the_box_needs_no_norm_below_one(folders, tmp_path):
    name = "group_sort_mlp3.digits_eps0.02_by_interval"
    folder = Path(shutil.copytree(folders[name], tmp_path / "copy"))
    assert check(with_tensors(folder, norm_above_one)).returncode == 0


AVERAGES = "linf_average.digits_eps0.05_views", "linf_average.digits_eps0.05_by_interval"


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("weights", [[1 / 3] * 3, [np.float32(1 / 3)] * 3, [0.5, 0.75, -0.25]])
def test_shares_of_an_average_are_float32_numbers_that_sum_to_at_most_one(
    folders, name, weights, tmp_path
):
    folder = Path(shutil.copytree(folders[name], tmp_path / "copy"))
    layers = json.loads((folder / "config.json").read_text())["zoo"]["layers"]
    layers[0]["weights"] = list(map(float, weights))
    done = check(write(folder, layers=layers))
    assert done.returncode == 1 and "weights must be" in done.stderr


def test_a_view_that_the_card_leaves_out_is_found(folders, tmp_path):
    folder = Path(shutil.copytree(folders[AVERAGES[0]], tmp_path / "copy"))
    layers = json.loads((folder / "config.json").read_text())["zoo"]["layers"]
    (flipped,) = (b for b in layers[0]["branches"] if b[0]["kind"] == "flip")
    flipped.pop(0)
    assert "claimed" in check(write(folder, layers=layers)).stdout
