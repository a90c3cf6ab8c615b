"""Evaluate a model on a split: certify every image, attack what is classified correctly, count.

Shapes: N images of the split, B batch.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from zoo.attacks import Attack, attacks
from zoo.certification.certificate import Certificate
from zoo.certification.certifier import Certifier, strict_argmax
from zoo.certification.report import Report, Row
from zoo.data.load import load_data
from zoo.data.pixels import Pixels
from zoo.eps import Eps, format_eps, parse_eps_list
from zoo.errors import FalsifiedError, UsageError
from zoo.halving import in_batches
from zoo.rules import describe
from zoo.tensors import state_sha256
from zoo.version import __version__
from zoo.weights import load


def evaluate(
    model: nn.Module | str,
    data: str | Pixels = "auto",
    *,
    eps: Eps | Iterable[Eps] = "auto",
    split: str = "test",
    bound: str = "auto",
    clip: bool = True,
    attack: str | Attack | None = "pgd",
    n: int | None = None,
    batch_size: int = 256,
    dtype: str = "float32",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Report:
    """Certified, empirical and clean accuracy at one eps or several.

    Args:
        model: a name, a weight folder, or a model in eval mode.
        data: name of a dataset, a split itself, or "auto" for the one on the model's card.
        eps: radius in pixel units, several of them, or "auto" for the card's.
        attack: "pgd", an Attack, or None; it runs on every correctly classified image.
        n: only the first n images.
        batch_size: images at a time; halved where memory runs out, which changes no verdict.
        dtype: what the model runs in, "float32" or "float64".
        progress: called with (images done, images in all).
        quiet: do not say on stderr that a batch was halved.

    Raises:
        FalsifiedError: an attack broke a certified image.
        NotFoundError, UsageError, IntegrityError: see load, load_data and Certifier.
        ZooError: memory runs out with a single image.
    """
    net = load(model) if isinstance(model, str) else model
    card = getattr(net, "card", None)
    # A card speaks for the weights it came with: changed ones have no name and no hash.
    own = card if card and _is_as_loaded(net, card) else None
    if dtype not in ("float32", "float64"):
        raise UsageError(f"dtype {dtype!r}: certificates are for float32 or float64 programs")
    # A copy: the caller's model keeps its device and dtype.
    net = copy.deepcopy(net).to(device=checked_device(device), dtype=getattr(torch, dtype))
    radii = _radii(eps, card)
    pixels = _pixels(data, split, card, n).to(device)
    attacker = _attacker(attack)
    certifier = Certifier(net, bound)

    def verdicts(idx_B: Tensor) -> list[tuple[Certificate, Tensor]]:
        """The certificate at each eps, and which images the attack broke there."""
        x_BCHW, y_B = pixels.batch(idx_B)
        x_BCHW = x_BCHW.to(getattr(torch, dtype))
        return [
            (certificate, _falsified(net, x_BCHW, idx_B, certificate, attacker))
            for certificate in certifier(x_BCHW, y_B, radii, clip=clip)
        ]

    start = time.monotonic()
    logits = hashlib.sha256()
    certificates: list[list[Certificate]] = [[] for _ in radii]
    falsified: list[list[Tensor]] = [[] for _ in radii]
    for idx_B, found in in_batches(len(pixels), batch_size, verdicts, quiet=quiet):
        logits.update(_little_endian(found[0][0].logits_BK))
        for i, (certificate, broken_B) in enumerate(found):
            certificates[i].append(certificate)
            falsified[i].append(broken_B)
        if progress is not None:
            progress(int(idx_B[-1]) + 1, len(pixels))
    about = {
        "model": own.name if own else type(net).__name__,
        "data": pixels.name,
        "split": pixels.split,
        "split_sha256": pixels.sha256,
        "norm": "linf",
        "clip": clip,
        "attack": str(attacker) if attacker else "none",
        "dtype": dtype,
        "device": device,
        "seconds": round(time.monotonic() - start, 2),
        "torch": torch.__version__,
        "zoo": __version__,
        "sha256": own.sha256 if own else "",
        "recipe": own.name if own else "",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    broken = [torch.cat(parts) for parts in falsified]
    rows = [
        _row(Certificate.cat(parts), bad_N, about)
        for parts, bad_N in zip(certificates, broken, strict=True)
    ]
    first = Certificate.cat(certificates[0])
    return Report(rows, _samples(first, broken[0]), logits.hexdigest(), first.numerics)


def _is_as_loaded(net: nn.Module, card: Any) -> bool:
    """Whether a net is still the one that its card describes: its tensors, and its layers.

    Layers that pick pixels hold no tensors, so that a hash alone would not see them changed.
    """
    if getattr(net, "loaded_state", "") != state_sha256(net):
        return False
    try:
        return not card.layers or json.loads(json.dumps(describe(net))) == list(card.layers)
    except UsageError:  # a state that no kind of layer has, p = 8 say
        return False


def _falsified(
    net: nn.Module,
    x_BCHW: Tensor,
    idx_B: Tensor,
    certificate: Certificate,
    attacker: Attack | None,
) -> Tensor:
    """Which images were classified correctly and are not under attack."""
    broken_B = torch.zeros_like(certificate.clean_B)
    if attacker is None:
        return broken_B
    (at_A,) = certificate.clean_B.nonzero(as_tuple=True)
    y_A = certificate.labels_B[at_A]
    adversarial_ACHW = attacker(net, x_BCHW[at_A], y_A, certificate.eps, clip=certificate.clip)
    with torch.no_grad():
        broken_B[at_A] = strict_argmax(net(adversarial_ACHW)) != y_A
    refuted = idx_B[(broken_B & certificate.certified_B).cpu()].tolist()
    if refuted:
        raise FalsifiedError(
            f"{attacker} broke {len(refuted)} certified image(s) at eps "
            f"{format_eps(certificate.eps)}, bound {certificate.bound}: "
            f"indices {refuted[:10]}\n"
            "  this is a soundness bug: please report it with the command that showed it"
        )
    return broken_B


def _row(certificate: Certificate, falsified_N: Tensor, about: dict[str, Any]) -> Row:
    clean_N, certified_N = certificate.clean_B, certificate.certified_B
    assert not bool((certified_N & ~clean_N).any()), "certified images are classified correctly"
    count = {
        "n": len(clean_N),
        "n_clean": clean_N.sum(),
        "n_certified": certified_N.sum(),
        "n_certified_a": (certificate.real_B & clean_N).sum(),
        "n_certified_b": certificate.deployed_B.sum(),
        "n_certified_naive": (certificate.naive_B & clean_N).sum(),
        "n_falsified": falsified_N.sum(),
        "n_unknown": (clean_N & ~certified_N & ~falsified_N).sum(),
    }
    return Row(
        eps=format_eps(certificate.eps),
        bound=certificate.bound,
        **{name: int(value) for name, value in count.items()},
        **about,
    )


def _samples(certificate: Certificate, falsified_N: Tensor) -> list[dict[str, Any]]:
    """One mapping an image, with the keys of SAMPLE_COLUMNS."""
    radius_N = certificate.radius_B
    if radius_N is not None:
        radius_N = torch.where(certificate.clean_B, radius_N, 0)
    columns = {
        "label": certificate.labels_B.tolist(),
        "pred": certificate.preds_B.tolist(),
        "status": certificate.status(falsified_N),
        "naive": (certificate.naive_B & certificate.clean_B).int().tolist(),
        "a": (certificate.real_B & certificate.clean_B).int().tolist(),
        "b": certificate.deployed_B.int().tolist(),
        "margin": certificate.margin_B.tolist(),
        "radius": [None] * len(certificate.labels_B) if radius_N is None else radius_N.tolist(),
        "slack": certificate.slack_B.tolist(),
    }
    return [
        {"index": i} | dict(zip(columns, values, strict=True))
        for i, values in enumerate(zip(*columns.values(), strict=True))
    ]


def _little_endian(logits_BK: Tensor) -> bytes:
    values = logits_BK.cpu().contiguous().numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _radii(eps: Eps | Iterable[Eps], card: Any) -> list[Fraction]:
    if isinstance(eps, str) and eps == "auto":
        if card is None:
            raise UsageError("eps 'auto' needs a model with a card: give eps=0.1, say")
        return [card.eps]
    several = [eps] if isinstance(eps, Fraction | float | int | str) else list(eps)
    if not several:
        raise UsageError("no eps to evaluate at: give one, or 'auto'")
    return parse_eps_list(several)


def _pixels(data: str | Pixels, split: str, card: Any, n: int | None) -> Pixels:
    if isinstance(data, str) and data == "auto":
        if card is None:
            raise UsageError("data 'auto' needs a model with a card: give data='mnist', say")
        data = card.data
    pixels = load_data(data, split) if isinstance(data, str) else data
    pixels = pixels if n is None else pixels.take(n)
    if len(pixels) == 0:
        raise UsageError(f"no images to evaluate in {pixels.name} {pixels.split}")
    return pixels


def _attacker(attack: str | Attack | None) -> Attack | None:
    if attack is None or attack == "none":
        return None
    return attacks.build({"name": attack}) if isinstance(attack, str) else attack


def checked_device(device: str) -> torch.device:
    """A device that this machine has.

    Raises:
        UsageError: another one.
    """
    try:
        found = torch.empty(0, device=device).device
        if found.type == "meta":
            raise RuntimeError("it holds no values")
        return found
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {device!r} cannot be used: {reason}") from None
