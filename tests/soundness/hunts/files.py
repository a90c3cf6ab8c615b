"""Weight files that are not what was published, and claims that were not measured on the file."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import zoo
import zoo.publishing.release
import zoo.tensors
from soundness.asking import Corner, digit_net, digits, publish, published, refuses
from soundness.hunts.claims import edit_card
from soundness.nets import random_net
from zoo.certification import Certifier

WEIGHTS = "model.safetensors"


def hunt() -> Iterator[str]:
    if refuses(lambda: zoo.load(published())):
        yield "a folder as it was published is refused"
    with tempfile.TemporaryDirectory() as temporary:
        for i, (what, damage) in enumerate(DAMAGE.items()):
            folder = Path(shutil.copytree(published(), Path(temporary) / str(i)))
            damage(folder)
            if not refuses(lambda: zoo.load(folder)):  # noqa: B023
                yield f"zoo.load takes {what}"
        yield from edges()
        yield from rewritten(Path(temporary))


def _flip(folder: Path) -> None:
    path = folder / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def _with(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Another file, and a card that gives its hash."""

    def write(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})
        path = folder / WEIGHTS
        edit_card(folder, sha256=zoo.tensors.sha256_of(path), bytes=path.stat().st_size)

    return write


KEY = "layers.dist2.weight"
DAMAGE: dict[str, Callable[[Path], None]] = {
    "a file with one bit flipped": _flip,
    "a file cut short": lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-8]),
    "no file": lambda f: (f / WEIGHTS).unlink(),
    "a NaN weight": _with(lambda t: t[KEY].view(-1)[3].fill_(math.nan)),
    "an infinite weight": _with(lambda t: t[KEY].view(-1)[3].fill_(math.inf)),
    "another shape": _with(lambda t: t.update({KEY: t[KEY][:, :-1].contiguous()})),
    "another dtype": _with(lambda t: t.update({KEY: t[KEY].half()})),
    "a tensor less": _with(lambda t: t.pop(KEY)),
    "a tensor more": _with(lambda t: t.update({"more": torch.zeros(1)})),
}


def edges() -> Iterator[str]:
    """A pruned net whose file names inputs that are not there."""
    net = random_net("pruned", 0)
    layer = net.layers.dist1
    index_E = layer.index_E.clone()
    for bad in (layer.num_in, 65_535):
        layer.index_E.copy_(torch.where(torch.arange(len(index_E)) == 1, bad, index_E.int()))
        if not refuses(lambda: Certifier(net)):
            yield f"a certifier takes an edge from input {bad} of {layer.num_in}"


def rewritten(parent: Path) -> Iterator[str]:
    """A writer that loses bits: whatever is claimed must hold for the file that it wrote."""
    whole = zoo.publishing.release.save_tensors

    def lossy(model, path: Path) -> None:
        whole(model, path)
        tensors = {key: t.bfloat16().to(t.dtype) for key, t in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})

    zoo.publishing.release.save_tensors = lossy
    try:
        folder = publish(digit_net(1), digits(40), parent)
    finally:
        zoo.publishing.release.save_tensors = whole
    net = zoo.load(folder)
    row = zoo.evaluate(net, digits(40), eps=net.card.eps, attack=Corner(), quiet=True)
    if row.logits_sha256 != net.card.logits_sha256:
        yield "the claims of a folder were measured on another net than its file holds"
