"""The command line: results on stdout, one clear message on stderr, exit codes that say what."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import NAME, OTHER

import zoo.cli
from zoo.bounds import bounds
from zoo.certification.report import SAMPLE_COLUMNS
from zoo.ops.build import instruction_set, library_path
from zoo.ops.native import describe

VERBS = ["list", "info", "certify", "attack", "train", "publish", "recipe", "plot"]
VERBS += ["prune", "average", "build", "env"]
# As the documentation promises them.
KEYS = (
    "model, data, split, split_sha256, norm, eps, clip, bound, n, n_clean, n_certified, "
    "n_certified_a, n_certified_b, n_certified_naive, n_falsified, n_unknown, clean_acc, "
    "certified_acc, empirical_acc, attack, dtype, device, seconds, torch, zoo, sha256, recipe, date"
).split(", ")
QUICK = ["--attack", "none", "--n", "20"]


def process(*words: object, **kwargs) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    command = [sys.executable, "-m", "zoo", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **kwargs)


def rows_of(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["certify", "linf_dist_mlp3.digits_eps0.2"], 3, "unknown model"),
        (["certify", "no/such/folder"], 3, "unknown model 'no/such/folder'"),
        (["certify", OTHER], 3, "has a recipe but no published weights"),
        (["info", "linf_dist_mlp3.digits_eps0.11"], 3, f"did you mean: {NAME}"),
        (["attack", "nothing"], 3, "unknown model"),
        (["train", "nothing"], 3, "unknown recipe"),
        (["train", "nothing.yaml"], 3, "no recipe file"),
        (["train", NAME, "epoch=3"], 2, "did you mean epochs?"),
        (["train", NAME, "epochs"], 2, "is not key=value"),
        (["train", NAME, "source=["], 2, "override source is not YAML"),
        (["train", NAME, "model.wdth=3"], 2, "wdth"),
        (["recipe", "show", "nothing"], 3, "unknown recipe"),
        (["recipe", "check", "nothing"], 3, "unknown recipe"),
        (["publish", "nothing"], 3, "is not a finished run"),
        (["plot", "nothing"], 3, "unknown model"),
        (["plot", "nothing.csv"], 3, "no file nothing.csv"),
        (["plot", NAME, "--out", "x.xyz"], 2, "cannot write x.xyz"),
        (["plot", NAME, "--minutes"], 2, "--minutes is for run folders"),
        (["list", "--eps", "big"], 2, "is not a number"),
        (["certify", NAME, "--data", "digit"], 2, "did you mean: digits"),
        (["certify", NAME, "--data", "mnist"], 3, "ZOO_OFFLINE=1"),
        (["certify", NAME, "--split", "tset"], 2, "did you mean: test"),
        (["certify", NAME, "--bound", "lipshitz"], 2, "did you mean: lipschitz"),
        (["certify", NAME, "--attack", "pdg"], 2, "unknown attack"),
        (["attack", NAME, "--method", "fgsm"], 2, "unknown attack"),
        (["attack", NAME, "--steps", "0"], 2, "at least 1"),
        (["certify", NAME, "--dtype", "float16"], 2, "float32 or float64"),
        (["certify", NAME, "--device", "nothing"], 2, "device 'nothing' cannot be used"),
        (["certify", NAME, "--device", "cuda:99"], 2, "device 'cuda:99' cannot be used"),
        (["certify", NAME, "--batch-size", "0"], 2, "at least 1"),
        (["certify", NAME, "--n", "0"], 2, "no images"),
        (["certify", NAME, "--n", "-1"], 2, "cannot take -1 images"),
        (["certify", NAME, "--eps", "-1"], 2, "outside [0, 1]"),
        (["certify", NAME, "--eps", "2"], 2, "outside [0, 1]"),
        (["certify", NAME, "--eps", "8/0"], 2, "is not a number"),
        (["certify", NAME, "--eps", "abc"], 2, "is not a number"),
        (["certify", NAME, "--eps", "0:0.4"], 2, "start:stop:count"),
        (["certify", NAME, NAME, "--per-sample", "x.csv"], 2, "one model"),
        (["certify", NAME, "--nonsense"], 2, "No such option"),
        (["certify"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
    ],
    ids=lambda words: " ".join(words).replace(NAME, "NAME") if isinstance(words, list) else None,
)
def test_mistake_ends_in_one_message(
    zoo_, own, tmp_path, monkeypatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    found, out, err = zoo_(*words)
    assert found == code, err
    assert out == ""
    assert message in re.sub(r"\s+", " ", err)
    assert "Traceback" not in err and "not an error we foresaw" not in err
    assert len(err.splitlines()) < 12
    assert not list(Path().iterdir())


@pytest.mark.parametrize("style", ["--json", "--verbose", "--quiet"])
def test_failure_prints_no_result_in_any_style(zoo_, own, style: str) -> None:
    code, out, err = zoo_("certify", "nothing", style)
    assert (code, out) == (3, "") and err.startswith("error: unknown model")


def test_models_that_were_finished_before_a_mistake_are_printed(zoo_, own) -> None:
    code, out, err = zoo_("certify", NAME, "nothing", *QUICK, "--json", "--out", "rows.csv")
    assert code == 3 and "unknown model" in err
    assert [row["model"] for row in json.loads(out)] == [NAME]
    assert len(rows_of(Path("rows.csv"))) == 1


def test_damaged_weights_exit_with_4(zoo_, own: Path) -> None:
    file = own / "weights" / NAME / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    for verb in ("certify", "attack"):
        code, out, err = zoo_(verb, NAME)
        assert (code, out) == (4, "") and "not the file that was published" in err


@pytest.mark.parametrize("words, code", [(["info", "nothing"], 3), (["list", "--eps", "x"], 2)])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(zoo_, words, code: int) -> None:
    found, out, err = zoo_(*words, "--debug")
    assert (found, out) == (code, "") and "Traceback (most recent call last)" in err


def test_used_run_folder_is_refused(zoo_, run: Path) -> None:
    before = (run / "log.jsonl").read_text()
    code, out, err = zoo_("train", NAME, "epochs=1", "--out", run)
    assert (code, out) == (2, "") and "already holds a run" in err
    assert (run / "log.jsonl").read_text() == before


def test_json_rows_have_the_documented_keys(zoo_, own) -> None:
    code, out, err = zoo_("certify", NAME, "--eps", "0:0.2:3,8/255", *QUICK, "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [list(row) for row in rows] == [KEYS] * 4
    assert [row["eps"] for row in rows] == ["0", "0.1", "0.2", "8/255"]
    for row in rows:
        assert row["n"] == 20 and row["empirical_acc"] is None and row["attack"] == "none"
        assert row["n_certified"] + row["n_falsified"] + row["n_unknown"] == row["n_clean"]
        assert row["certified_acc"] == round(100 * row["n_certified"] / 20, 2)


def test_files_of_results_have_the_documented_columns(zoo_, own) -> None:
    # Folders that are not there yet are made: hours of work must not end in a missing folder.
    files = ["--out", "new/rows.csv", "--per-sample", "other/samples.csv"]
    code, out, _ = zoo_("certify", NAME, *QUICK, *files, "-q")
    assert code == 0 and re.fullmatch(rf"{re.escape(NAME)} 0\.1 \d+\.\d\d\n", out)
    (row,) = rows_of(Path("new/rows.csv"))
    samples = rows_of(Path("other/samples.csv"))
    assert list(row) == KEYS and row["empirical_acc"] == ""
    assert list(samples[0]) == SAMPLE_COLUMNS and len(samples) == 20
    certified = sum(sample["status"] == "certified" for sample in samples)
    assert int(row["n_certified"]) == certified


def test_published_claims_are_met_again(zoo_, own: Path) -> None:
    _, out, _ = zoo_("certify", NAME, "--attack", "none", "--json")
    (row,) = json.loads(out)
    counts = json.loads((own / "weights" / NAME / "config.json").read_text())["zoo"]["counts"]
    for key in ("n", "n_clean", "n_certified", "n_certified_a", "n_certified_b"):
        assert row[key] == counts[key]


def test_attack_prints_its_row(zoo_, own) -> None:
    words = ["--steps", 2, "--restarts", 1, "--n", 30, "--json", "--out", "a.csv"]
    code, out, _ = zoo_("attack", NAME, *words)
    (row,) = json.loads(out)
    assert code == 0 and row["attack"] == "pgd(steps=2,restarts=1,seed=0)"
    assert row["certified_acc"] <= row["empirical_acc"] <= row["clean_acc"]
    assert rows_of(Path("a.csv"))[0]["n_falsified"] == str(row["n_falsified"])


def test_list_shows_models_with_and_without_weights(zoo_, own) -> None:
    code, out, err = zoo_("list")
    lines = out.splitlines()
    (with_weights,) = [line for line in lines if NAME in line]
    (without,) = [line for line in lines if OTHER in line]
    assert (code, err) == (0, "")
    assert "0.1" in with_weights and "recipe only" in without
    assert zoo_("list", "-q")[1] == f"{NAME}\n{OTHER}\n"
    assert zoo_("list", "-q", "--pretrained")[1] == f"{NAME}\n"
    first, second = json.loads(zoo_("list", "--json")[1])
    assert first["model"] == NAME and first["weights"]["n"] == 360
    assert second == {"model": OTHER, "weights": None}
    assert first["weights"]["sha256"] in zoo_("list", "--verbose")[1]


def test_info_shows_the_card(zoo_, own) -> None:
    code, out, _ = zoo_("info", NAME)
    (card,) = json.loads(zoo_("info", NAME, "--json")[1])
    assert code == 0 and card["sha256"] in out and f"zoo train {NAME} seed=0" in out
    assert zoo_("info", NAME, "-q")[1] == f"{NAME}\n"


def test_recipe_verbs(zoo_) -> None:
    assert {NAME, OTHER} <= set(zoo_("recipe", "ls")[1].splitlines())
    assert NAME in json.loads(zoo_("recipe", "ls", "--json")[1])
    shown = yaml.safe_load(zoo_("recipe", "show", NAME)[1])
    assert shown["schedules"]["p"]["then"] == float("inf") and shown["batch_size"] == 32
    assert "NaN" not in (text := zoo_("recipe", "show", NAME, "--json")[1])
    assert json.loads(text)["schedules"]["p"]["then"] == "Infinity"
    assert zoo_("recipe", "cp", NAME, "mine.yaml")[:2] == (0, "mine.yaml\n")
    assert zoo_("recipe", "cp", NAME, "mine.yaml")[0] == 2
    assert zoo_("recipe", "check", NAME, "mine.yaml")[:2] == (0, f"{NAME}: ok\nmine.yaml: ok\n")


def test_check_tells_what_is_wrong_with_every_file(zoo_) -> None:
    for i in "12":
        Path(f"bad{i}.yaml").write_text(f"parent: _linf_dist\nepoch{i}: 3\n")
    code, out, err = zoo_("recipe", "check", "bad1.yaml", NAME, "bad2.yaml")
    assert (code, out) == (2, f"{NAME}: ok\n")
    assert "epoch1: unknown key" in err and "epoch2: unknown key" in err
    assert "data: missing" in err and "epochs: missing" in err


def test_plot_draws_cards_and_csv_files_and_says_where(zoo_, own) -> None:
    zoo_("certify", NAME, "--eps", "0:0.2:5", *QUICK, "--out", "curve.csv")
    for source in (NAME, own / "weights" / NAME, "curve.csv"):
        code, out, err = zoo_("plot", source, "--out", "new/curve.png")
        assert (code, out, err) == (0, "new/curve.png\n", "")
        assert Path("new/curve.png").read_bytes().startswith(b"\x89PNG")
        shutil.rmtree("new")


def test_plot_draws_runs_and_says_where(zoo_, run: Path) -> None:
    for words in (["-o", "a.svg"], ["--minutes", "-o", "b.svg"]):
        assert zoo_("plot", run, *words) == (0, f"{words[-1]}\n", "")
    (path,) = json.loads(zoo_("plot", run, "--json")[1])
    assert Path(path["path"]).read_bytes().startswith(b"\x89PNG")
    code, out, err = zoo_("plot", run, "rows.csv", "--minutes", "-o", "c.svg")
    assert (code, out) == (2, "") and "not for rows.csv" in err and not Path("c.svg").exists()


@pytest.mark.parametrize("text", ["", "model,eps\n", "a,b\n1,2\n", "\x00"])
def test_csv_of_something_else_is_refused(zoo_, text: str) -> None:
    Path("other.csv").write_text(text)
    code, out, err = zoo_("plot", "other.csv")
    assert (code, out) == (2, "") and err.startswith("error: other.csv")


def test_env_says_what_is_installed(zoo_) -> None:
    code, out, err = zoo_("env")
    assert (code, err) == (0, "") and re.search(r"^torch +\d+\.\d+", out, re.MULTILINE)
    (fields,) = json.loads(zoo_("env", "--json")[1])
    assert fields["zoo"] == zoo.__version__ and fields["ops"] == describe()


@pytest.mark.parametrize("asked, ops", [("auto", "torch reference"), ("native", "none")])
def test_env_without_a_compiler_says_what_the_ops_run_on(tmp_path: Path, asked, ops) -> None:
    changes = {"CXX": "/no/compiler", "ZOO_HOME": str(tmp_path), "ZOO_OPS": asked}
    out, _ = (running := process("env", "--json", env=os.environ | changes)).communicate()
    assert running.returncode == 0
    assert json.loads(out)[0]["ops"].startswith(f"{ops} (no C++ compiler (/no/compiler)")


def test_build_finds_the_kernels_that_the_ops_use(zoo_, kernels) -> None:
    path = str(library_path())
    assert zoo_("build", "-q") == (0, f"{path}\n", "")
    (fields,) = json.loads(zoo_("build", "--json")[1])
    assert fields["library"] == path and fields["instruction set"] == instruction_set()
    assert fields["seconds"] >= 0
    code, out, err = zoo_("build")
    assert (code, err) == (0, "") and re.search(rf"^library +{re.escape(path)}$", out, re.MULTILINE)


@pytest.mark.parametrize("style", [[], ["--json"], ["-q"]])
def test_build_without_a_compiler_says_what_it_lacks(zoo_, monkeypatch, tmp_path, style) -> None:
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CXX", "/no/compiler")
    code, out, err = zoo_("build", *style)
    assert (code, out) == (1, "")
    assert err.startswith("error: no C++ compiler (/no/compiler)") and "CXX" in err


def test_build_into_a_folder_that_cannot_be_made_says_why(zoo_, monkeypatch, tmp_path) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    code, out, err = zoo_("build")
    assert (code, out) == (1, "") and "Not a directory" in err and "foresaw" not in err


def test_dry_run_shows_the_recipe_and_does_nothing(zoo_) -> None:
    code, out, err = zoo_("train", NAME, "epochs=7", "schedules.lr.start=1e-3", "--dry-run")
    shown = yaml.safe_load(out)
    assert (code, err) == (0, "") and not list(Path().iterdir())
    assert shown["epochs"] == 7 and shown["schedules"]["lr"]["start"] == 1e-3


def test_train_and_publish_print_where_the_result_is(zoo_, tmp_path: Path, monkeypatch) -> None:
    code, out, err = zoo_("train", NAME, "epochs=1", "model.width=16", "seed=3")
    assert (code, out) == (0, f"runs/{NAME}-seed3\n") and "epoch 1/1" in err
    code, out, _ = zoo_("publish", out.strip(), "--out", "shelf", "-q")
    assert (code, out) == (0, f"shelf/{NAME}\n")
    code, out, err = zoo_("publish", f"runs/{NAME}-seed3", "--out", "shelf")
    assert (code, out) == (2, "") and "published weights never change" in err


def test_help_lists_exactly_the_verbs() -> None:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    out, _ = (running := process("--help", env=environment)).communicate()
    found = re.findall(r"^│ ([a-z]+) ", out, re.MULTILINE)
    assert running.returncode == 0 and sorted(found) == sorted(VERBS)


def test_the_help_that_errors_about_bounds_point_to_lists_them(zoo_, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = zoo_("certify", "--help")
    assert code == 0 and set(bounds) <= set(re.findall(r"\w+", out.split("Bounds")[-1]))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_run_without_a_traceback(tmp_path, number: int, code: int, times) -> None:
    if number == signal.SIGTERM and not times(1, 0):
        pytest.skip("takes its time: --full")
    words = ["epochs=100000", "model.width=16", "--out", tmp_path / "run"]
    running = process("train", NAME, *words)
    log = tmp_path / "run" / "log.jsonl"
    try:
        while running.poll() is None and not (log.is_file() and log.read_text()):
            time.sleep(0.05)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == code, err
    assert out == "" and "Traceback" not in err
    # What was done is on record.
    assert json.loads(log.read_text().splitlines()[0])["epoch"] == 1
