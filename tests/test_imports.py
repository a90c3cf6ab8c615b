"""What may import what, what is never used, and what must stay fast."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import NAME

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "zoo").rglob("*.py"))

# Lower layers of the package never import higher ones; each set is what the key may not import.
ABOVE_OPS = {
    *("rules", "layers", "models", "propagation", "bounds", "attacks", "terms", "objectives"),
}
TOP = {"certification", "training", "tensors", "weights", "publishing", "plots", "cli"}
FORBIDDEN = {
    "ops": ABOVE_OPS | TOP,
    "rounding": {"ops", "relaxations"} | ABOVE_OPS | TOP,
    "relaxations": ABOVE_OPS | TOP,
    "rules": (ABOVE_OPS - {"rules"}) | TOP,
    "layers": (ABOVE_OPS - {"rules", "layers"}) | TOP,
    "models": {"propagation", "bounds", "terms", "objectives", "attacks"} | TOP,
    "propagation": {"ops", "layers", "models", "bounds", "terms", "objectives", "attacks"} | TOP,
    "bounds": {"models", "terms", "objectives", "attacks"} | TOP,
    "terms": {"models", "attacks", "objectives"} | TOP,
    "objectives": {"models", "attacks"} | TOP,
    "attacks": {"models", "bounds", "terms", "objectives"} | TOP,
    "data": ABOVE_OPS | TOP,
    "training": {"certification", "publishing", "cli", "attacks"},
    "certification": {"training", "publishing", "cli", "models", "objectives"},
    "cards": {"training", "certification", "models", "weights", "cli"},
    "recipes": {"training", "models", "certification", "weights", "cli"},
    "publishing": {"cli", "plots"},
    "storage": {"ops", "data", "recipes", "cards", "plots"} | ABOVE_OPS | TOP,
    "plots": {"ops", "data", "recipes", "runs"} | ABOVE_OPS | (TOP - {"plots"}),
}


def imports(tree: ast.Module, *, top_level: bool = False) -> Iterator[str]:
    """Modules that a file imports; inside functions and under TYPE_CHECKING too, if asked."""
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(file: Path) -> ast.Module:
    """Syntax tree of a file."""
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_downwards(package: str) -> None:
    files = [file for file in FILES if file.relative_to(ROOT / "zoo").parts[0] == package]
    assert files
    for file in files:
        found = {name.split(".")[1] for name in imports(parse(file)) if name.startswith("zoo.")}
        assert not found & FORBIDDEN[package], file


def test_every_package_has_a_rule() -> None:
    packages = {file.parent.name for file in FILES if file.parent.parent == ROOT / "zoo"}
    assert packages == set(FORBIDDEN) | {"cli"}


def test_commands_import_nothing_heavy_before_they_run() -> None:
    import_anywhere = ("zoo.cli.", "zoo.errors.")
    light = {"typer", *sys.stdlib_module_names}
    for file in (ROOT / "zoo" / "cli").glob("*.py"):
        for name in imports(parse(file), top_level=True):
            assert name.startswith(import_anywhere) or name.split(".")[0] in light, file


NEVER_IMPORTED = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "torch.hub"}
NEVER_CALLED = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("torch.load", "torch.hub.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load"),
}
NEVER_CALLED_LAST = {"extractall", "unpack_archive", "load_url", "load_state_dict_from_url"}
# Words of a call, and the only value that they may have.
NEVER_TRUE = {"allow_pickle", "shell", "trust_remote_code"}
# Modules by a name that is put together: the registry's own packages, and the public names of zoo.
IMPORTERS = {"zoo/registry.py", "zoo/__init__.py"}
OTHERS = [
    file
    for folder in ("tools", "benchmarks", "examples", "tests")
    for file in sorted((ROOT / folder).rglob("*.py"))
]
# Tests make pickles for a loader to refuse, and read and run what they wrote themselves.
ALLOWED = {
    "tests/data_fixtures.py": "import pickle",
    "tests/test_publishing.py": "import pickle",
    "tests/hostile/test_pickles.py": "import pickle",
    "tests/test_layers.py": "torch.load",
    "tests/faults/forks.py": "import_module",
    # Checkpoints of others: tensors alone, by weights_only.
    "benchmarks/released_relaxations.py": "torch.load",
}


def running(tree: ast.Module) -> Iterator[str]:
    """What in a file runs, or could run, what it reads."""
    for name in imports(tree):
        if {name, name.split(".")[0], name.rpartition(".")[0]} & NEVER_IMPORTED:
            yield f"import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.hub":
            yield "torch.hub"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in NEVER_CALLED or called.rpartition(".")[2] in NEVER_CALLED_LAST:
            yield called
        for word in node.keywords:
            false = isinstance(word.value, ast.Constant) and word.value.value is False
            if word.arg in NEVER_TRUE and not false:
                yield f"{called}({word.arg}=...)"
        if called.rpartition(".")[2] == "import_module":
            constant = isinstance(node.args[0], ast.Constant)
            if not constant:
                yield "import_module of a name that is not written there"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_runs_what_it_reads(file: Path) -> None:
    found = list(running(parse(file)))
    if file.relative_to(ROOT).as_posix() in IMPORTERS:
        found = [what for what in found if not what.startswith("import_module")]
    assert not found


def test_nothing_beside_the_package_runs_what_it_reads_either() -> None:
    assert len(OTHERS) > 40
    for file in OTHERS:
        name = file.relative_to(ROOT).as_posix()
        # The soundness suite finds hunts and mutants by listing their folders.
        default = "import_module" if name.startswith("tests/soundness/") else "nothing"
        allowed = ALLOWED.get(name, default)
        assert not [what for what in running(parse(file)) if not what.startswith(allowed)], file


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from torch import hub",
        "import torch.hub",
        "torch.hub.load('x', 'y')",
        "torch.load(path, weights_only=True)",
        "from pickle import loads",
        "numpy.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=flag)",
        "subprocess.run(command, shell=True)",
        "datasets.load_dataset(name, trust_remote_code=True)",
        "importlib.import_module(name)",
        "tar.extractall(folder)",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_what_runs_what_it_reads_is_seen(text: str) -> None:
    assert list(running(ast.parse(text)))


QUIET = """
import os, socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")
socket.socket.__init__ = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
import zoo, zoo.weights, zoo.certification, zoo.publishing.claims, zoo.data.load
assert [getattr(zoo, name) for name in zoo.__all__]
"""


def test_importing_opens_no_connection_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "cwd").mkdir()
    home = {key: str(tmp_path / "home") for key in ("HOME", "USERPROFILE")}
    keep = {key: os.environ[key] for key in ("PATH", "OMP_NUM_THREADS") if key in os.environ}
    own = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", QUIET]
    subprocess.run(command, check=True, cwd=tmp_path / "cwd", env=keep | home | own, timeout=120)
    # Matplotlib, which draws, keeps a list of the system's fonts for itself.
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert {path for path in left if "matplotlib" not in path} <= {"home", "cwd"}


def modules_after(code: str) -> set[str]:
    """What is imported once code has run in a fresh interpreter, by top-level name."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code\n"
    program += "print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["list"],
        ["list", "--json", "--eps", "0.1"],
        ["info", "FOLDER"],
        ["recipe", "ls"],
        ["recipe", "show", NAME],
        ["recipe", "check", NAME],
        ["train", NAME, "epochs=1", "--dry-run"],
        ["plot", "FOLDER", "--out", "IMAGE"],
        ["plot", "RUN", "--minutes", "--out", "IMAGE"],
    ],
    ids=lambda words: "-".join(words[:2]),
)
def test_command_does_without_torch(words: list[str], run: Path, shelf: Path, tmp_path) -> None:
    places = {"FOLDER": shelf / NAME, "RUN": run, "IMAGE": tmp_path / "curve.png"}
    words = [str(places.get(word, word)) for word in words]
    found = modules_after(f"sys.argv = ['zoo', *{words}]; from zoo.cli import main; main()")
    assert "zoo" in found
    assert not found & {"torch", "timm", "accelerate", "sklearn", "torchvision"}


def test_importing_zoo_imports_little() -> None:
    found = modules_after("import zoo; assert 'load' in dir(zoo)")
    assert not found & {"torch", "timm", "numpy", "pydantic", "yaml", "matplotlib"}


def test_every_public_name_is_there() -> None:
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = zoo.lod


def test_list_is_quick() -> None:
    seconds = []
    for _ in range(3):  # the best of three; of the processor, for other programs run too
        before = time_of_children()
        command = [sys.executable, "-m", "zoo", "list"]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=os.environ)
        seconds.append(time_of_children() - before)
    assert min(seconds) < 1, seconds


def time_of_children() -> float:
    """Seconds that ended child processes spent computing."""
    spent = os.times()
    return spent.children_user + spent.children_system
