"""Plots: what the axes hold, which sources ask for which figure, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import NAME
from matplotlib.axes import Axes

import zoo
from zoo.errors import NotFoundError, UsageError
from zoo.plots import draw_training, is_run
from zoo.plots.training import training_figure

PNG = b"\x89PNG"


def line(epoch: int, **more: object) -> str:
    """A line of a log, as training writes it; half a minute an epoch."""
    row = {"epoch": epoch, "loss": 1 / epoch, "acc": 50.0, "p": "inf", "lr": 0.0}
    return json.dumps(row | more | {"seconds": 30.0 * epoch}) + "\n"


def looked(epoch: int, clean: float = 90.0, certified: float = 80.0) -> str:
    """A line of an epoch that looked at the validation split."""
    return line(epoch, val_acc=clean, val_cert=certified)


def write(folder: Path, log: str, *, name: str = "mine", seed: int = 0) -> Path:
    """A run folder that did not finish."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": name, "seed": seed}))
    (folder / "log.jsonl").write_text(log)
    return folder


def drawn(axes: Axes, style: str = "-") -> list[tuple[list[float], list[float]]]:
    """Points of the lines in a style, one pair (x, y) a line."""
    lines = [line for line in axes.get_lines() if line.get_linestyle() == style]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]  # type: ignore


def labels(*runs: Path) -> list[str]:
    """What the legend says."""
    legend = training_figure(*runs).axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_learning_curves_are_the_log_of_the_run(run: Path) -> None:
    rows = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    columns: dict[str, list[Any]] = {key: [row[key] for row in rows] for key in rows[0]}
    minutes = [seconds / 60 for seconds in columns["seconds"]]
    for x, at in {"epoch": [1, 2], "minutes": minutes}.items():
        upper, lower = training_figure(run, x=x).axes
        assert drawn(upper) == [(at, columns["val_cert"])]
        assert drawn(upper, "--") == [(at, columns["val_acc"])]
        assert drawn(lower) == [(at, columns["loss"])] and lower.get_yscale() == "log"
        assert x in lower.get_xlabel()


def test_run_is_drawn_as_far_as_it_got(tmp_path: Path) -> None:
    log = line(1) + looked(2, 70, 60) + line(3) + looked(4, 75, 65) + looked(5)[:-20]
    upper, lower = training_figure(write(tmp_path / "run", log)).axes
    assert drawn(upper) == [([2, 4], [60, 65])] and drawn(upper, "--") == [([2, 4], [70, 75])]
    assert drawn(lower) == [([1, 2, 3, 4], [1, 1 / 2, 1 / 3, 1 / 4])]


def test_first_look_at_validation_shows_as_a_dot(tmp_path: Path) -> None:
    upper, _ = training_figure(write(tmp_path / "run", line(1) + looked(2))).axes
    assert [line.get_marker() for line in upper.get_lines()] == [".", "."]


def test_perfect_and_broken_losses_can_be_drawn(tmp_path: Path) -> None:
    for i, loss in enumerate([0.0, "inf", "nan"]):
        log = line(1, loss=loss, val_acc=0.0, val_cert=0.0)
        for run in (write(tmp_path / f"a{i}", log), write(tmp_path / f"b{i}", line(1) + log)):
            assert draw_training(run, path=tmp_path / "a.png").read_bytes().startswith(PNG)


def test_each_run_has_one_colour_and_a_label_of_its_own(tmp_path: Path) -> None:
    a = write(tmp_path / "a", looked(1) + looked(2))
    b = write(tmp_path / "b", looked(1) + looked(2) + looked(3), name="other")
    upper, lower = training_figure(a, b).axes
    colours = [line.get_color() for line in lower.get_lines()]
    assert len(set(colours)) == 2
    assert [line.get_color() for line in upper.get_lines()] == [c for c in colours for _ in "ab"]
    assert labels(a) == ["mine"] and labels(a, b) == ["mine", "other"]
    c = write(tmp_path / "c", looked(1), seed=3)
    assert labels(a, b, c) == ["mine seed 0", "other", "mine seed 3"]
    d = write(tmp_path / "d", looked(1), seed=3)
    assert labels(a, c, d) == ["mine seed 0", f"mine seed 3 ({c})", f"mine seed 3 ({d})"]


@pytest.mark.parametrize("log", ["", line(1) + line(2), looked(1)[:-20]])
def test_run_that_has_not_looked_at_validation_yet_is_refused(tmp_path: Path, log: str) -> None:
    run = write(tmp_path / "run", log)
    with pytest.raises(UsageError, match=r"nothing to draw yet: .*run"):
        zoo.plot(run, path=tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    "log, message",
    [
        (looked(1)[:-20] + "\n" + looked(2), "line 1 is not JSON"),
        (looked(1) + "\n" + looked(2), "line 2 is not JSON"),
        (looked(1) + '{"epoch": 2}\n', r"line 2: KeyError\('seconds'\)"),
        (line(1, val_cert=3), r"line 1: KeyError\('val_acc'\)"),
        (line(1, loss="low"), "line 1: ValueError.*low"),
        (line(1, loss=None), "line 1: TypeError"),
        ("[1, 2]\n", "line 1: TypeError"),
    ],
)
def test_log_of_something_else_is_refused(tmp_path: Path, log: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"log\.jsonl is .*{message}"):
        zoo.plot(write(tmp_path / "run", log))


@pytest.mark.parametrize(
    "text, message", [("a: [", "not YAML"), ("\x00", "not YAML"), ("", "not the recipe of a run")]
)
def test_recipe_of_something_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    run = write(tmp_path / "run", looked(1))
    (run / "recipe.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"recipe\.yaml is {message}"):
        zoo.plot(run)


def test_sources_decide_what_is_drawn(run: Path, own: Path, tmp_path: Path) -> None:
    for sources in ([run], [run, str(run)], [NAME], [own / "weights" / NAME]):
        path = zoo.plot(*sources, path=tmp_path / "new" / "a.png")
        assert path.read_bytes().startswith(PNG)
        path.unlink()
    for sources in ([run, NAME], ["rows.csv", run], [run, "nothing"]):
        with pytest.raises(UsageError, match="not a run folder, as the other sources are"):
            zoo.plot(*sources)
    with pytest.raises(UsageError, match="nothing to plot"):
        zoo.plot()


def test_published_name_is_no_run_of_the_working_directory(own, tmp_path, monkeypatch) -> None:
    write(tmp_path / "here" / NAME, looked(1))
    monkeypatch.chdir(tmp_path / "here")
    assert not is_run(NAME) and is_run(f"./{NAME}")


def test_training_is_drawn_of_runs_only(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a run folder"):
        draw_training()
    with pytest.raises(UsageError, match="x is 'hours'"):
        draw_training(run, x="hours")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match=r"is not a run folder: it has no recipe\.yaml"):
        draw_training(tmp_path)
    with pytest.raises(UsageError, match=r"cannot write .*a\.xyz"):
        draw_training(run, path=tmp_path / "a.xyz")
