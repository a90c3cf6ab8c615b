"""Hostile recipes, model names, cards and indexes: refused at once, and no path leads out."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoo
import zoo.cli
from hostile.folders import DIGITS, Folder, clear
from zoo.cards.card import Card
from zoo.cards.index import read_index
from zoo.errors import IntegrityError, ZooError
from zoo.names import is_name
from zoo.recipes import load_recipe

BIG, HEX = "9" * 60_000, "0x" + "f" * 50_000
RECIPES = [
    *(
        f"epochs: {number}"
        for number in (BIG, HEX, "0b" + "1" * 60_000, "1e999", ".inf", "-1", "~")
    ),
    *("epochs: " + ":".join(["59"] * 20_000), "epochs: 1.5", "epochs: [1]", "batch_size: 1e400"),
    *(f"seed: {number}" for number in ("0" + "7" * 60_000, "-1", "2147483648", "'1'x", "{a: 1}")),
    *(f"eps: {eps}" for eps in ("1e999999999", "'1/0'", f"'0.{BIG}'", f"'1/{BIG}'", HEX, ".nan")),
    *("eps: 2", "eps: true", "eps: [0.1]", "data: '../x'", "data: [digits]", "data: 'folder:'"),
    *(f"model: {{width: {width}}}" for width in (HEX, 10**12, -1, 0, "true", "x", "1.0", "[1]")),
    *("model: {name: resnet18}", "model: {name: [1]}", "model: {pretrained: true}", "model: 1"),
    *("model: {checkpoint_path: /etc/passwd}", "model: {folded: true}", "model: {mean: [[1]]}"),
    *("objective: {name: [1]}", "objective: {name: os.system}", "optimizer: {name: [1]}"),
    *("schedules: {lr: {name: [x]}}", f"schedules: {{lr: {{name: constant, value: {HEX}}}}}"),
    *(
        f"parent: {name}"
        for name in ("../../etc/passwd", "/etc/passwd", "[a]", '"a\\0b"', "a" * 5000)
    ),
    *("parent: ../base", "parent: .", "parent: ..", "parent: {a: b}", "name: '../x'", "name: /x"),
    *('name: "a\\nb"', "name: ''", "name: .x", "name: [x]", "name: " + "x" * 1000),
    *('source: "\\e[2J"', 'source: "\\0"', "source: !!binary AAAA\n?", "source: 2020-01-01"),
    *("<<: {epochs: 3}", "<<: [{epochs: 3}, {epochs: 4}]", "&a seed: *a", "seed: 1\nseed: 2"),
    *("seed: 1\n'seed': 2", "model: {width: 3, width: 4}", "1: 2", "~: 2", "{a: 1}: 2", "[a]: 2"),
    *("a: " + "[" * 20_000, "a: " + "{a: " * 10_000, "a: " + "[" * 900 + "]" * 900, "- " * 30_000),
    *("a: !!python/object/apply:os.system [true]", "a: !!python/name:os.system", "a: !x 1"),
    *(
        "a: !!python/module:os",
        "!!python/object:os.x {}",
        "a: !!timestamp never",
        "%YAML 99.1\n---",
    ),
    *("\n".join(f"k{i}: 1" for i in range(6000)), "k" * 60_000 + ": 1", "a: " + "x" * 70_000),
    *(
        "init: [1]",
        "init: 5",
        f"reported: {{a: {HEX}}}",
        "bound: {a: 1}",
        "bound: os",
        "\x00",
        "a\tb",
    ),
]
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with a complete parent, so that a hostile line is all that is wrong."""
    folder = tmp_path_factory.mktemp("recipes")
    content = load_recipe(DIGITS).model_dump(mode="json")
    del content["name"]
    (folder / "base.yaml").write_text(yaml.safe_dump(content))
    (folder / "mine.yaml").write_text("parent: base")
    assert load_recipe(folder / "mine.yaml").epochs > 1
    return folder


def test_recipes(base: Path, tally) -> None:
    counts = tally("recipes", "hostile", "refused")
    for text in [*RECIPES, BOMB, "\ud800"]:
        own_head = text.startswith(("parent", "%", "!!", "- "))
        content = text if own_head else f"parent: base\n{text}"
        (base / "mine.yaml").write_bytes(content.encode("utf-8", "surrogatepass"))
        counts["hostile"] += 1
        start = time.process_time()
        with pytest.raises(ZooError) as caught:
            load_recipe(base / "mine.yaml")
        assert time.process_time() - start < 1, text[:50]
        message = str(caught.value)
        assert caught.value.exit_code in (2, 3, 4) and "mine" in message, text[:50]
        assert len(message) < 3000 and len(message.splitlines()) < 25, text[:50]
        counts["refused"] += 1
    assert counts["refused"] >= 50


def names() -> list[str]:
    """Two hundred texts that are no names of models."""
    dice = random.Random(5)
    odd = [
        *(
            "../x",
            "../../etc/passwd",
            "/etc/passwd",
            "/",
            ".",
            "..",
            "",
            " ",
            "\\",
            "..\\..\\x",
            "~",
        ),
        *("C:\\x", "\\\\host\\share", "file:///etc/passwd", "https://example.org/x", "hf-hub:a/b"),
        *("local-dir:/etc", "timm/resnet18", "resnet18", "x" * 300, "x" * 100_000, "a/" * 3000),
        *(
            f"{DIGITS}{end}"
            for end in ("\n", "\0", "\0.safetensors", "/", "/..", "/../x", " ", "\\")
        ),
        *(
            f"{start}{DIGITS}"
            for start in ("./../", "../weights/", "/", "\\", " ", "\n", "\0", "-")
        ),
        *(
            "a.b_eps\u0663",
            "a.b_eps\u0661.\u0665",
            "\u202elinf",
            "\ud800",
            "\udcff",
            "\x1b[2J",
            "\x7f",
        ),
        *(
            "a.b_eps0." + "1" * 200,
            "a" * 90 + ".b_eps1",
            "%2e%2e%2f",
            "..%2f",
            "....//",
            "$HOME",
            "`id`",
        ),
        *(
            "$(id)",
            "; id",
            "| id",
            "*",
            "?",
            "[a]",
            "{a,b}",
            "--help-me",
            "a\tb",
            "CON",
            "nul",
            "a:b",
        ),
        *(
            "linf_dist_mlp3",
            "linf_dist_mlp3.",
            ".digits_eps0.1",
            "digits",
            "index.json",
            "A.B_EPS1",
        ),
    ]
    while len(odd) < 200:
        text = list(DIGITS)
        for _ in range(dice.randrange(1, 4)):
            text.insert(
                dice.randrange(len(text) + 1), dice.choice("/\\\0\n.. ~%:*\u0663\u202e\ud800é")
            )
        odd.append("".join(text))
    return [name for name in odd if name not in read_index()]


def test_names(tmp_path: Path, monkeypatch, capfd, tally) -> None:
    counts = tally("names of models", "hostile", "refused", "paths outside")
    monkeypatch.chdir(tmp_path)
    looked: list[str] = []
    monkeypatch.setattr("zoo.weights.read_weights", lambda path, *_: looked.append(str(path)))
    for name in names():
        counts["hostile"] += 1
        assert not is_name(name) or name not in read_index()
        for read in (zoo.load, zoo.info, lambda name: zoo.create_model(name, pretrained=True)):
            with pytest.raises(ZooError) as caught:
                read(name)
            assert caught.value.exit_code in (2, 3, 4)
            assert len(str(caught.value)) < 3000
        counts["refused"] += 1
        # A command's words hold no NUL, and what starts with - is an option.
        if "\0" in name or name.startswith("-") or len(name) > 10_000:
            continue
        monkeypatch.setattr(sys, "argv", ["zoo", "info", name])
        with pytest.raises(SystemExit) as end:
            zoo.cli.main()
        shown = capfd.readouterr()
        assert end.value.code in (2, 3, 4) and "foreseen" not in shown.err, repr(name)
        assert "Traceback" not in shown.err and shown.out == ""
    counts["paths outside"] += len(looked)
    assert counts["hostile"] >= 195 and not looked and not list(tmp_path.iterdir())


JSON = [
    *(
        b"",
        b"[]",
        b"{",
        b"null",
        b"1",
        b'"x"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{}x",
        b"{'a': 1}",
    ),
    *(
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 400_000,
        b"{" + b" " * (1 << 20) + b"}",
        b"\0" * 99,
    ),
    *(b'{"zoo": NaN}', b'{"zoo": Infinity}', b'{"zoo": 1e999}', b'{"zoo": ' + b"9" * 5000 + b"}"),
    *(b'{"zoo": {}, "zoo": {}}', b'{"zoo": "\\ud800"}', b'{"zoo": "\\u0000"}', b'{"zoo": "\xff"}'),
    *(
        b'{"../x": {}}',
        b'{"zoo": -0}',
        b'{"zoo": [1,]}',
        b'{"zoo": 01}',
        b"{}{}",
        b'{"zoo": /**/ 1}',
    ),
]


def test_json_that_is_none(tmp_path: Path, tally) -> None:
    counts = tally("cards and indexes", "hostile", "refused")
    for content in JSON:
        for name, read in (("config.json", Card.read), ("index.json", read_index)):
            (tmp_path / name).write_bytes(content)
            counts["hostile"] += 1
            start = time.process_time()
            with pytest.raises(IntegrityError) as caught:
                read(tmp_path)
            clear(caught.value, name)
            assert time.process_time() - start < 1
            counts["refused"] += 1
    assert counts["refused"] >= 50


@pytest.mark.parametrize(
    "change",
    [
        *({"name": name} for name in ("../x", "/x", "", "x", "a.b_eps0.1\n", "a\\b", 5, None)),
        *({"sha256": value} for value in (5, None)),
        *({"bytes": value} for value in ("x", None, 1.5, [1])),
        *({"eps": value} for value in ("1e999999999", "2", "x", -1, [], "1/0")),
        *({"counts": value} for value in ({}, None, [1], {"n": "x"})),
        *({"curve": value} for value in ({"eps": ["x"] * 5_000, "n_certified": []}, None)),
        *({"training": value} for value in (None, {}, {"recipe": 1})),
        *({"arch": value} for value in (1, None, [])),
        *({"mean": value} for value in ("x", None, [None])),
        *({"extra" * n: 1} for n in (1, 1000)),
        {f"k{i}": i for i in range(10_000)},
    ],
    ids=lambda change: str(change)[:40],
)
def test_cards(folder: Folder, tally, change: dict[str, Any]) -> None:
    counts = tally("cards and indexes", "hostile", "refused")
    config = folder.config | {"zoo": folder.config["zoo"] | change}
    (folder.path / "config.json").write_text(json.dumps(config))
    counts["hostile"] += 1
    for read in (zoo.info, zoo.load):
        with pytest.raises(IntegrityError) as caught:
            read(str(folder.path))
        clear(caught.value, "config.json")
    counts["refused"] += 1
    folder.restore()


@pytest.mark.parametrize(
    "change",
    [
        *({"sha256": value} for value in ("0" * 63, "G" * 64, "", None, 5, "0" * 64 + "\n")),
        *({"bytes": value} for value in (-1, 1.5, "1", None, True)),
        *({"n": value} for value in (0, -1, None, "x")),
        *({"eps": value} for value in (0.1, None, "\x1b[2J", "x", "1" * 100)),
        *({"data": value} for value in ("../x", None, "a b", "", "x" * 100)),
        *({"hub_id": value} for value in ("../../x", "https://x/y", 1, "a/b/c", "/a", "../x")),
        *({"bound": 1}, {"more": 1}, {"params": [1]}, None),
    ],
    ids=lambda change: str(change)[:40],
)
def test_entries_of_the_index(tmp_path: Path, tally, change: dict[str, Any] | None) -> None:
    counts = tally("cards and indexes", "hostile", "refused")
    entry = read_index()[DIGITS] | (change or {})
    if change is None:
        del entry["n"]
    (tmp_path / "index.json").write_text(json.dumps({DIGITS: entry}))
    counts["hostile"] += 1
    with pytest.raises(IntegrityError) as caught:
        read_index(tmp_path)
    clear(caught.value, "index.json")
    counts["refused"] += 1


@pytest.mark.parametrize("name", [name for name in names() if "\x1b" not in name][::4])
def test_names_in_the_index(tmp_path: Path, name: str) -> None:
    (tmp_path / "index.json").write_text(json.dumps({name: read_index()[DIGITS]}))
    with pytest.raises(IntegrityError) as caught:
        read_index(tmp_path)
    clear(caught.value, "index.json")
