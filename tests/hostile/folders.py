"""Weight folders that tests spoil, and the one way in which their errors are judged."""

from __future__ import annotations

import gc
import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.cards.card import Card
from zoo.errors import ZooError
from zoo.models import LinfDistMLP, prune
from zoo.paths import weights_dir
from zoo.weights import save

DIGITS = "linf_dist_mlp3.digits_eps0.1"
PRUNED = "linf_dist_mlp5.mnist_eps0.3_small_pruned"
SECONDS = 2.0  # of work; longer is a hang
WAITED = 30.0  # on a machine that does much else


class Folder:
    """A weight folder, with its whole content in memory to go back to."""

    def __init__(self, path: Path):
        self.path, self.weights = path, path / "model.safetensors"
        self.content, self._config = self.weights.read_bytes(), (path / "config.json").read_bytes()
        self.config: dict[str, Any] = json.loads(self._config)

    def put(self, content: bytes, *, vouched: bool) -> None:
        """Other bytes in the weight file, and with ``vouched`` a card that says they are right."""
        self.weights.write_bytes(content)
        text = self._config
        if vouched:
            found = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            text = json.dumps(self.config | {"zoo": self.config["zoo"] | found}).encode()
        (self.path / "config.json").write_bytes(text)

    def restore(self) -> None:
        """The folder as it was."""
        self.put(self.content, vouched=False)


def load(path: Path | str) -> tuple[Any, str]:
    """The model, or None and the message of its clear error; never another, never a hang."""
    start, worked = time.monotonic(), time.process_time()
    try:
        return zoo.load(path), ""
    except ZooError as error:
        return None, clear(error, str(path))
    finally:
        assert time.process_time() - worked < SECONDS
        assert time.monotonic() - start < WAITED


def clear(error: ZooError, *words: str) -> str:
    """The message of an error that is short and says what it is about."""
    message = str(error)
    assert error.exit_code in (2, 3, 4), message
    assert len(message) < 3000 and len(message.splitlines()) < 12, message
    assert message.isprintable() or set(message) - set(" \n") <= set(
        filter(str.isprintable, message)
    )
    for word in words:
        assert word in message
    return message


@contextmanager
def peak(limit: float) -> Iterator[None]:
    """Refuse a block that takes more bytes at a time than this, beyond those it began with."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.is_file():
        yield
        return

    def kilobytes(field: str) -> int:
        return int(re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.M)[1])

    gc.collect()
    reset.write_text("5")  # the high-water mark falls to what is in use now
    before = kilobytes("VmRSS")
    yield
    used = (kilobytes("VmHWM") - before) * 1024
    assert used < limit, f"{used:,} bytes"


def write_folder(folder: Path, net: LinfDistMLP) -> Folder:
    card = Card.read(weights_dir() / DIGITS)
    arguments = net.config | {"folded": True}
    save(net, folder, card.model_copy(update={"arch_args": arguments}))
    made = Folder(folder)
    made.put(made.content, vouched=True)
    return Folder(folder)


def _net() -> LinfDistMLP:
    torch.manual_seed(0)
    net = LinfDistMLP(3, width=12, num_classes=10, in_chans=1, img_size=8, folded=True)
    return net.eval()


def tiny_folder(root: Path) -> Folder:
    """A net of three layers, 5 kB."""
    return write_folder(root / "tiny", _net())


def tiny_pruned_folder(root: Path) -> Folder:
    """The same, pruned."""
    return write_folder(root / "pruned", prune(_net(), [torch.rand(20, 1, 8, 8)]))


def published(root: Path) -> list[Folder]:
    """Copies of two published nets, a full and a pruned one."""
    copies = [shutil.copytree(weights_dir() / name, root / name) for name in (DIGITS, PRUNED)]
    return [Folder(Path(copy)) for copy in copies]
