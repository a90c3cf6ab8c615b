"""Hostile weight files are refused with a clear error, or hold exactly what is checked."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load as independent
from safetensors.torch import save

import zoo
from hostile.folders import DIGITS, Folder, load, peak, write_folder
from hostile.mutate import KINDS, mutants
from zoo.cards.index import read_index
from zoo.errors import IntegrityError
from zoo.layers import PrunedLinfDistLinear
from zoo.models import LinfDistMLP
from zoo.paths import recipes_dir, weights_dir

SEED = 7


def assert_whole(model, content: bytes, pristine: bytes) -> None:
    """What was loaded is what an independent reader finds, and fits, and is in range."""
    tensors, first = independent(content), independent(pristine)
    state = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    assert state.keys() == tensors.keys() == first.keys()
    for key, tensor in tensors.items():
        assert (tensor.dtype, tensor.shape) == (first[key].dtype, first[key].shape)
        assert state[key].tobytes() == tensor.tobytes()
        assert tensor.dtype != np.float32 or np.isfinite(tensor).all()
    for name, layer in model.named_modules():
        if isinstance(layer, PrunedLinfDistLinear):
            start = tensors[f"{name}.start"].astype(np.int64)
            index = tensors[f"{name}.index_E"]
            assert start[0] == 0 and start[-1] == len(index) and (np.diff(start) > 0).all()
            assert index.max() < layer.num_in


def test_mutants(folders: list[Folder], times, tally) -> None:
    count = times(100_000, 2_000)
    names = ("refused", "held what is pinned", "vouched for and whole", "used with other content")
    counts = tally("weight files", "mutants", "kinds", *names)
    counts["kinds"] = len(KINDS)
    # The published files are larger: a few of them, and many of the small ones.
    shares = zip(folders, (0.47, 0.47, 0.02, 0.04), strict=True)
    for n, (folder, share) in enumerate(shares):
        made = mutants(folder.content, math.ceil(count * share), SEED + n)
        for i, (kind, content) in enumerate(made):
            vouched = i // len(KINDS) % 2 == 1
            folder.put(content, vouched=vouched)
            model, message = load(folder.path)
            counts["mutants"] += 1
            if model is None:
                assert content != folder.content, kind
                assert "model.safetensors" in message or "config.json" in message, (kind, message)
                counts["refused"] += 1
            elif content == folder.content:
                counts["held what is pinned"] += 1
            elif vouched:
                assert_whole(model, content, folder.content)
                counts["vouched for and whole"] += 1
            else:
                counts["used with other content"] += 1
        folder.restore()
    assert counts["used with other content"] == 0
    assert counts["mutants"] >= count and counts["refused"] > 0.8 * counts["mutants"]
    assert counts["vouched for and whole"] > 0  # the checks behind the hash were met


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 10**12},
        {"width": 2**31 - 1},
        {"width": 10**18},
        {"width": True},
        {"width": "12"},
        {"width": 12.0},
        {"width": [12]},
        {"width": None},
        {"width": -1},
        {"img_size": 10**6},
        {"img_size": 2**31 - 1},
        {"img_size": [8]},
        {"img_size": [8, 9, 10]},
        {"img_size": []},
        {"img_size": {"a": 1}},
        {"in_chans": 10**12},
        {"in_chans": 2**31 - 1},
        {"num_classes": 10**9},
        {"num_classes": 0},
        {"edges": [1] * 100_000},
        {"edges": [10**12] * 3},
        {"edges": [2**31 - 1] * 3},
        {"edges": "abc"},
        {"edges": {"a": 1}},
        {"edges": []},
        {"folded": False},
        {"folded": "yes"},
        {"mean": [[0.1]]},
        {"mean": "x"},
        {"mean": [0.0] * 50_000},
        {"std": 0.0, "folded": False},
        {"std": "0"},
        {"std": 10**18, "folded": False},
        {"pretrained": True},
        {"checkpoint_path": "/etc/passwd"},
        {"cache_dir": "/"},
        {"depth": 10**9},
        {"__class__": "x"},
    ],
    ids=lambda arguments: str(arguments)[:40],
)
def test_sizes_of_a_card_are_not_believed(folder: Folder, arguments: dict) -> None:
    card = folder.config["zoo"]
    changed = card | {"arch_args": card["arch_args"] | arguments}
    (folder.path / "config.json").write_text(json.dumps(folder.config | {"zoo": changed}))
    with peak(2**26):
        model, message = load(folder.path)
    folder.restore()
    assert model is None and message


def test_a_size_that_is_not_the_card_s_is_refused_before_the_file_is_read(
    folder: Folder, monkeypatch
) -> None:
    folder.put(folder.content + b"x", vouched=False)
    monkeypatch.setattr("zoo.tensors.read_bounded", None)
    model, message = load(folder.path)
    assert model is None and "expected bytes" in message


def test_a_file_larger_than_any_net_is_not_read(folder: Folder) -> None:
    size = 2**32 + 1
    with folder.weights.open("r+b") as file:
        file.truncate(size)  # holes: it takes no disk
    config = folder.config | {"zoo": folder.config["zoo"] | {"bytes": size}}
    (folder.path / "config.json").write_text(json.dumps(config))
    model, message = load(folder.path)
    folder.restore()
    assert model is None and f"has {size:,} bytes" in message


def test_what_was_hashed_is_what_is_used(folder: Folder, monkeypatch) -> None:
    opened = []
    original = Path.open

    def counted(path: Path, *args, **kwargs):
        opened.append(path.name)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counted)
    assert load(folder.path)[0] is not None
    assert opened.count("model.safetensors") == 1


@pytest.mark.parametrize("change", ["folder", "config.json", "model.safetensors"])
def test_a_link_out_of_the_zoo_s_own_folder_is_refused(own_tree, tmp_path, change: str) -> None:
    inside = own_tree / "weights" / DIGITS
    link = inside if change == "folder" else inside / change
    outside = tmp_path / "outside"
    link.rename(outside)
    link.symlink_to(outside)
    with pytest.raises(IntegrityError, match="is a link that leads out of"):
        zoo.load(DIGITS)
    with pytest.raises(IntegrityError, match="is a link that leads out of"):
        zoo.info(DIGITS)
    # As a path it is the user's own choice: this is what the cache of Hugging Face looks like.
    assert zoo.load(inside).card.name == DIGITS


def test_a_link_within_the_zoo_s_own_folder_is_followed(own_tree) -> None:
    weights = own_tree / "weights" / DIGITS / "model.safetensors"
    weights.rename(own_tree / "weights" / "blob")
    weights.symlink_to(own_tree / "weights" / "blob")
    assert zoo.load(DIGITS).card.name == DIGITS


@pytest.mark.parametrize(
    "change", [{"bytes": 1}, {"name": "linf_dist_mlp3.digits_eps0.15"}, {"sha256": "0" * 64}, None]
)
def test_a_card_that_tells_other_than_the_index_is_refused(own_tree, change: dict | None) -> None:
    path = own_tree / "weights" / DIGITS / "config.json"
    config = json.loads(path.read_text())
    if change is None:
        config["zoo"]["counts"] |= {"n_certified": 336, "n_falsified": 0, "n_unknown": 0}
    else:
        config["zoo"] |= change
    path.write_text(json.dumps(config))
    for read in (zoo.load, zoo.info):
        refusal = r"is not the card that was published|its name says"
        with pytest.raises(IntegrityError, match=refusal):
            read(DIGITS)


@pytest.fixture
def own_tree(tmp_path: Path, monkeypatch) -> Path:
    """A source tree with one published model, which zoo takes for its own."""
    tree = tmp_path / "tree"
    shutil.copytree(weights_dir() / DIGITS, tree / "weights" / DIGITS)
    shutil.copytree(recipes_dir(), tree / "recipes")
    index = {DIGITS: read_index()[DIGITS]}
    (tree / "weights" / "index.json").write_text(json.dumps(index))
    (tree / "pyproject.toml").touch()
    monkeypatch.setattr("zoo.paths._PACKAGE", tree / "zoo")
    return tree


def test_memory_stays_below_twice_the_file_and_the_model(tmp_path: Path) -> None:
    net = LinfDistMLP(3, width=4000, num_classes=10, in_chans=1, img_size=8, folded=True)
    big = write_folder(tmp_path / "big", net)
    size = len(big.content)
    assert size > 64e6
    with peak(2.4 * size):  # two copies at a time, and what finding non-finite values takes
        assert load(big.path)[0] is not None


def test_every_finite_pattern_of_bits_survives(folder: Folder) -> None:
    """Denormal weights and minus zero are numbers; loading keeps their bits."""
    model, _ = load(folder.path)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    weight = state["layers.dist1.weight"].view(-1)
    weight[:4] = torch.tensor([1e-45, -0.0, 3.4028235e38, -1e-40])
    folder.put(save(state, {"format": "pt"}), vouched=True)
    again, message = load(folder.path)
    folder.restore()
    assert again is not None, message
    found = again.state_dict()["layers.dist1.weight"].view(-1)[:4]
    assert found.view(torch.int32).tolist() == weight[:4].view(torch.int32).tolist()
