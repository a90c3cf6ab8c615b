"""Recipes of certified training: what they may say of terms and schedules, and that they train."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import zoo.models  # noqa: F401
from zoo.errors import UsageError
from zoo.recipes import Recipe, load_recipe
from zoo.registry import registered_names
from zoo.schedules import Smooth
from zoo.terms import terms
from zoo.training import run_training
from zoo.training.log import read_log
from zoo.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("one_thread")

BASE = """
data: digits
eps: 0.02
bound: interval
model: {name: conv1, channels: 2, width: 8, init: narrow}
objective: {name: cross_entropy}
optimizer: {name: adam}
schedules:
  lr: {name: constant, value: 0.01}
  eps: {name: smooth, start: 0, end: 0.02, until: 0.8, bend: 0.25}
epochs: 1
batch_size: 400
evaluate_every: 1
"""
RAMP = "{name: smooth, start: 1, end: 0, until: 0.8, bend: 0.25}"
CLEAN = "{name: cross_entropy}"
COMPOSITIONS = {
    "a mix by kappa": f"""
objective:
  name: sum
  terms:
    - {{name: mix, by: kappa, of: [{CLEAN}, {{name: robust_cross_entropy}}]}}
schedules: {{kappa: {{name: linear, start: 1, end: 0.5}}}}
""",
    "from crown_ibp to interval": f"""
objective:
  name: robust_cross_entropy
  bound: {{by: beta, of: [crown_ibp, interval]}}
schedules: {{beta: {RAMP}, kappa: {{name: constant, value: 1}}}}
""",
    "warm-up": f"""
model: {{name: cnn7_bn, channels: 2, width: 8, init: narrow}}
optimizer: {{clip_norm: 10}}
objective:
  name: sum
  terms:
    - {{name: robust_cross_entropy}}
    - {{name: tightness, weight: warm_up}}
    - {{name: balance, weight: warm_up}}
schedules: {{warm_up: {RAMP}}}
""",
    "loss fusion": f"""
objective:
  name: sum
  terms:
    - name: mix
      by: fusion
      of: [{{name: fused_cross_entropy, bound: crown_ibp}}, {{name: robust_cross_entropy}}]
schedules: {{fusion: {RAMP}}}
""",
    "adversarial, and what keeps neurons stable": """
objective:
  name: sum
  terms:
    - name: mix
      by: 0.3
      of: [{name: robust_hinge, theta: 2}, {name: adversarial_cross_entropy, steps: 2}]
    - {name: relu_stability, weight: 1e-4}
    - {name: triangle_area, weight: "1/1000"}
    - {name: l1, weight: 1e-5}
schedules: {}
""",
}


def recipe(folder: Path, more: str, **overrides: Any) -> Recipe:
    """The small recipe, and what differs."""
    (folder / "_base.yaml").write_text(BASE, encoding="utf-8")
    (folder / "mine.yaml").write_text(f"parent: _base\n{more}", encoding="utf-8")
    return load_recipe(folder / "mine.yaml", overrides)


def error_of(folder: Path, more: str) -> str:
    """Why a recipe is refused."""
    with pytest.raises(UsageError) as caught:
        recipe(folder, more)
    return str(caught.value)


# ----------------------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_a_composition_trains(name: str, tmp_path: Path) -> None:
    given = recipe(tmp_path, COMPOSITIONS[name])
    # What a run folder keeps says the same, defaults written out.
    assert Recipe.model_validate(json.loads(given.model_dump_json())) == given
    steps: list[dict[str, torch.Tensor]] = []

    def watch(model: nn.Module, epoch: int) -> None:
        steps.append({key: value.clone() for key, value in model.named_parameters()})

    torch.manual_seed(0)
    run = run_training(given, out=tmp_path / "run", save_every=1000, quiet=True, watch=watch)
    row = read_log(run.path / "log.jsonl")[-1]
    assert math.isfinite(row["loss"]) and row["acc"] > 0 and "val_cert" in row
    begin = timm.create_model(given.model.name, in_chans=1, img_size=8, **given.model.arguments)
    for key, value in begin.named_parameters():
        assert value.shape == steps[-1][key].shape and steps[-1][key].isfinite().all()
    assert set(given.objective.knobs) <= given.schedules.given.keys()


def test_a_teacher_is_heard_where_the_loss_has_no_clean_logits(tmp_path: Path) -> None:
    from zoo.training.step import Step
    from zoo.training.teacher import Teacher

    given = recipe(
        tmp_path,
        "objective: {name: sum, terms: [{name: robust_cross_entropy}]}\n"
        "schedules: {distill: {name: constant, value: 1}}\n"
        "teacher: {source: anyone}",
    )
    net, teacher = (timm.create_model("conv1", in_chans=1, img_size=8, channels=2) for _ in "ab")
    x_BCHW, y_B = torch.rand(4, 1, 8, 8), torch.arange(4)
    losses = []
    for sharpness in (1.0, 9.0):
        step = Step(net, given, Teacher(teacher.eval(), sharpness, ""))
        loss, _ = step(x_BCHW, y_B, {"eps": 0.01, "distill": 1.0, "p": math.inf})
        loss.backward()
        assert step.parameters_of_objective["distill_scale"].grad != 0
        losses.append(loss.item())
    assert losses[0] != losses[1]


def test_gradients_are_clipped_to_their_norm(tmp_path: Path, monkeypatch) -> None:
    first: list[list[torch.Tensor]] = []
    fresh = TrainingState.fresh.__func__

    def remember(cls, model, *args):
        first.append([parameter.detach().clone() for parameter in model.parameters()])
        return fresh(cls, model, *args)

    monkeypatch.setattr(TrainingState, "fresh", classmethod(remember))
    moved: list[float] = []

    def watch(model: nn.Module, epoch: int) -> None:
        ways = [
            (now - then).flatten() for now, then in zip(model.parameters(), first[-1], strict=True)
        ]
        moved.append(torch.cat(ways).norm().item())

    for clip in ("null", "0.01", "1e9"):
        more = f"optimizer: {{name: momentum, clip_norm: {clip}}}\nbatch_size: 1257"
        given = recipe(tmp_path, more, **{"schedules.lr.value": 1, "epochs": 1})
        run_training(given, out=tmp_path / clip, quiet=True, save_every=1000, watch=watch)
    free, clipped, wide = moved
    assert clipped == pytest.approx(0.01, rel=1e-2) and free == wide > 0.02
    assert "greater than 0" in error_of(tmp_path, "optimizer: {clip_norm: 0}")


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "objective, schedules, message",
    [
        ("{name: robust_cross_entropy}", "", "schedules that are not given: ['kappa']"),
        ("[{name: l1, weight: slow}]", "", "schedules that are not given: ['slow']"),
        (
            "[{name: mix, by: share, of: [{name: l1, weight: w}, {name: cross_entropy}]}]",
            "",
            "schedules that are not given: ['share', 'w']",
        ),
        (
            "[{name: robust_hinge, bound: {by: beta, of: [crown, cap]}}]",
            "",
            "schedules that are not given: ['beta']",
        ),
        (
            "[{name: l1, weight: slow}]",
            "slow: {name: constant, value: 1}, slwo: {name: constant, value: 1}",
            "reads no schedules of these names: ['slwo']",
        ),
        ("[{name: l1, weight: at}]", "", "not given: ['at']"),
        ("[{name: l1, weight: slow}]", "slow: {name: linaer, start: 1, end: 0}", "schedules.slow"),
        ("[{name: l1, weight: slow}]", "slow: 3", "schedules.slow"),
        ("[]", "", "objective.terms"),
        ("[{name: cros_entropy}]", "", "did you mean: cross_entropy"),
        ("[{weight: 1}]", "", "needs a name, one of adversarial_cross_entropy"),
        ("[cross_entropy]", "", "objective.terms.0"),
        ("[{name: l1, wieght: 1}]", "", "terms.0.wieght: unknown key; did you mean weight?"),
        ("[{name: l1, weight: Slow Down}]", "", "neither a number nor the name of a schedule"),
        ("[{name: l1, weight: true}]", "", "neither a number nor the name of a schedule"),
        ("[{name: l1, weight: inf}]", "", "is not finite"),
        ("[{name: mix, by: 0.5, of: [{name: l1}]}]", "", "objective.terms.0.of"),
        ("[{name: fused_cross_entropy, bound: crwn}]", "", "did you mean: crown"),
        ("[{name: robust_hinge, bound: crwn}]", "", "did you mean: crown"),
        ("[{name: robust_hinge, bound: {by: 1, of: [crwn, cap]}}]", "", "did you mean: crown"),
        ("[{name: robust_hinge, bound: 3}]", "", "objective.terms.0.bound"),
        ("[{name: tightness, tau: 0}]", "", "objective.terms.0.tau"),
        ("[{name: adversarial_cross_entropy, steps: 0}]", "", "objective.terms.0.steps"),
    ],
)
def test_what_a_recipe_may_not_say(objective, schedules, message, tmp_path: Path) -> None:
    listed = objective if objective[0] == "{" else f"{{name: sum, terms: {objective}}}"
    found = error_of(tmp_path, f"objective: {listed}\nschedules: {{{schedules}}}")
    assert message in found and found.count("\n") <= 4, found


def test_a_tower_of_mixes_is_a_recipe_or_an_error(tmp_path: Path) -> None:
    for depth in (3, 30, 150, 400):
        part = "{name: l1}"
        for _ in range(depth):
            part = f"{{name: mix,by: 1,of: [{part},{{name: l1}}]}}"
        try:
            given = recipe(tmp_path, f"objective: {{name: sum, terms: [{part}]}}")
        except UsageError as error:
            assert depth > 30, error
        else:
            assert given.objective.name == "sum"


def test_schedules_of_any_name_are_values_at_each_step(tmp_path: Path) -> None:
    given = recipe(tmp_path, COMPOSITIONS["warm-up"])
    for t in (0.0, 0.1, 0.4, 1.0):
        knobs = given.schedules.at(t)
        assert set(knobs) == {"lr", "eps", "p", "warm_up"}
        assert knobs["warm_up"] == pytest.approx(1 - knobs["eps"] / 0.02)
    override = {"schedules.warm_up.start": "0.5"}
    assert recipe(tmp_path, COMPOSITIONS["warm-up"], **override).schedules.at(0)["warm_up"] == 0.5


def test_a_smooth_ramp_is_the_one_of_fast_training() -> None:
    """Shi et al. 2021: alpha (t - start)^4 up to a quarter, then a line, C^1 where they meet."""
    ramp, top, length, mid = Smooth(name="smooth", start=0, end=0.3, bend=0.25), 0.3, 80, 20
    root = float(mid) ** 3
    alpha = top / ((length - mid) * 4 * root + mid * root)
    for step in range(length + 1):
        line = alpha * mid**4 + alpha * 4 * root * (step - mid)
        wanted = alpha * step**4 if step <= mid else line
        assert ramp(step / length) == pytest.approx(wanted, rel=1e-9, abs=1e-15)


def test_every_term_is_in_the_page_that_lists_them() -> None:
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in terms if f"`{name}`" not in table] == []
    assert registered_names("zoo.terms") == list(terms)


def test_recipes_in_the_page_are_recipes(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    found = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    assert len(found) >= 4
    for text in found:
        assert recipe(tmp_path, text).objective != recipe(tmp_path, "").objective


def test_an_initialisation_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean: narrow"):
        timm.create_model("cnn3", init="narow")
    assert "init = 'narow': it must be one of default, narrow" in error_of(
        tmp_path, "model: {init: narow}"
    )
    assert "unknown argument" in error_of(tmp_path, "model: {name: linf_dist_mlp3, init: narrow}")
