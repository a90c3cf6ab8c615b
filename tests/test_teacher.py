"""Distillation: soft labels of a teacher, recorded and never saved with the student.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import NAME, TINY
from safetensors.torch import load_file

import zoo
from zoo.attacks.pgd import PGD
from zoo.cards.card import Card
from zoo.data.load import load_data
from zoo.errors import NotFoundError, UsageError
from zoo.publishing.from_run import publish
from zoo.recipes import load_recipe
from zoo.recipes.schema import Teaching
from zoo.training import run_training
from zoo.training.build import build_model
from zoo.training.step import Step
from zoo.training.teacher import Teacher

TAUGHT = TINY | {
    "teacher": {"source": NAME, "sharpness": 20},
    "schedules.distill": {"name": "constant", "value": 0.5},
}


def test_the_loss_is_the_formula() -> None:
    data = load_data("digits", "train")
    teacher = Teacher.find(Teaching(source=NAME, sharpness=7), 10, torch.device("cpu"))
    x_BCHW, y_B = data.batch(torch.arange(32))
    with torch.no_grad():
        soft_BK = (7 * zoo.load(NAME)(x_BCHW)).softmax(1)
    logits_BK = torch.randn(32, 10)
    wanted = -(soft_BK * logits_BK.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(teacher.loss(x_BCHW, logits_BK), wanted)
    recipe = load_recipe(NAME, TAUGHT | {"teacher": {"source": NAME, "scale": 3}})
    model, knobs = build_model(recipe.model, data), recipe.schedules.at(0.0)
    alone, _ = Step(model, load_recipe(NAME, TINY))(x_BCHW, y_B, knobs)
    both, _ = Step(model, recipe, teacher)(x_BCHW, y_B, knobs)
    added = knobs["distill"] * teacher.loss(x_BCHW, 3 * model(x_BCHW))
    torch.testing.assert_close(both, alone + added)


def test_a_teacher_changes_what_is_learned_and_is_no_part_of_it(tmp_path: Path) -> None:
    plain = run_training(NAME, out=tmp_path / "plain", overrides=TINY, quiet=True)
    run = run_training(NAME, out=tmp_path / "run", overrides=TAUGHT, save_every=0, quiet=True)
    own, other = (load_file(each.path / "model.safetensors") for each in (run, plain))
    assert own.keys() == other.keys()
    assert not all(torch.equal(own[key], other[key]) for key in own)
    newest = run.checkpoints.latest(print)
    assert newest is not None
    saved = load_file(newest)
    assert "module.parameters_of_objective.distill_scale" in saved
    assert not [key for key in saved if "teacher" in key]
    summary, sha256 = run.summary(), zoo.info(NAME).sha256
    assert (summary["teacher"], summary["teacher_sha256"]) == (NAME, sha256)
    folder = publish(run.path, out=tmp_path / "shelf", attack=PGD(steps=1), quiet=True)
    assert Card.read(folder).training.teacher_sha256 == sha256
    page = (folder / "README.md").read_text()
    assert f"Soft labels came from {NAME} (sha256 `{sha256}`)." in page


def test_a_stopped_run_goes_on_to_the_same_bits_and_tells_of_another_teacher(
    tmp_path: Path, capsys
) -> None:
    whole = run_training(NAME, out=tmp_path / "whole", overrides=TAUGHT, quiet=True)

    class Stop(Exception):
        pass

    def stop(model: torch.nn.Module, epochs: int) -> None:
        raise Stop

    cut = tmp_path / "cut"
    with pytest.raises(Stop):
        run_training(NAME, out=cut, overrides=TAUGHT, save_every=0, quiet=True, watch=stop)
    starts = json.loads((cut / "environment.json").read_text())
    starts[0]["teacher_sha256"] = "0" * 64
    (cut / "environment.json").write_text(json.dumps(starts))
    again = run_training(NAME, out=cut, overrides=TAUGHT, resume=True)
    told = capsys.readouterr().err
    assert "bits may differ" in told and "teacher_sha256 was 000" in told
    kept, wanted = (load_file(each.path / "model.safetensors") for each in (again, whole))
    assert all(torch.equal(kept[key], wanted[key]) for key in wanted)


def test_what_is_no_teacher_is_refused(tmp_path: Path) -> None:
    for key in ("teacher", "schedules.distill"):
        alone = {name: value for name, value in TAUGHT.items() if name != key}
        with pytest.raises(UsageError, match="come together"):
            load_recipe(NAME, alone)
    with pytest.raises(UsageError, match="knows 10 classes, the data 3"):
        Teacher.find(Teaching(source=NAME), 3, torch.device("cpu"))
    nobody = TAUGHT | {"teacher": {"source": "linf_dist_mlp3.digits_eps0.7"}}
    with pytest.raises(NotFoundError):
        run_training(NAME, out=tmp_path / "run", overrides=nobody, quiet=True)
    assert not (tmp_path / "run").exists()
