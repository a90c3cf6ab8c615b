"""The same verdict for an image in any company, each time, and for the weights as they are now."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from soundness.nets import predictions, random_images, random_net
from zoo.certification import Certifier, certify
from zoo.eps import parse_eps
from zoo.errors import ZooError
from zoo.tensors import state_sha256

CASES = [("folded", "lipschitz"), ("normalized", "lipschitz"), ("sorted", "lipschitz")]
CASES += [("relu", "interval")]
COUNT = 60
EPS = parse_eps("0.04")


def hunt() -> Iterator[str]:
    for seed, (kind, bound) in enumerate(CASES):
        net, x_BCHW = random_net(kind, seed), random_images(seed, COUNT)
        y_B = predictions(net, x_BCHW)
        before = state_sha256(net)
        whole = verdicts(net, bound, x_BCHW, y_B)
        if state_sha256(net) != before or any(m.training for m in net.modules()):
            yield f"{kind}: certifying changed the net"
        for what, batches in companies(seed):
            found = torch.empty_like(whole)
            for idx_B in batches:
                found[idx_B] = verdicts(net, bound, x_BCHW[idx_B], y_B[idx_B])
            if not same(kind, found, whole):
                yield f"{kind}: other verdicts {what}"
        yield from changed(net, kind, bound, x_BCHW, y_B)
    yield from centred()


def verdicts(net: nn.Module, bound: str, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
    """Verdict and margin of each image, side by side."""
    certificate = certify(net, x_BCHW, y_B, EPS, bound=bound)
    return torch.stack([certificate.certified_B.double(), certificate.margin_B], 1)


def same(kind: str, found: Tensor, wanted: Tensor) -> bool:
    """Equal verdicts; equal to the bit where a net has no sums, whose order batches change."""
    if kind == "relu":
        return torch.equal(found[:, 0], wanted[:, 0])
    return torch.equal(found, wanted)


def companies(seed: int) -> Iterator[tuple[str, list[Tensor]]]:
    order = torch.arange(COUNT)
    yield "the second time", [order]
    yield "one by one", list(order[:12].split(1)) + [order[12:]]
    yield "in sevens", list(order.split(7))
    yield "shuffled", list(torch.randperm(COUNT, generator=torch.manual_seed(seed)).split(20))


def changed(net, kind: str, bound: str, x_BCHW: Tensor, y_B: Tensor) -> Iterator[str]:
    certifier = Certifier(net, bound)
    certifier(x_BCHW, y_B, [EPS])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.125)
    now = certifier(x_BCHW, y_B, [EPS])[0]
    fresh = Certifier(copy.deepcopy(net), bound)(x_BCHW, y_B, [EPS])[0]
    for notion in ("real_B", "deployed_B", "margin_B", "preds_B"):
        if not torch.equal(getattr(now, notion), getattr(fresh, notion)):
            yield f"{kind}: {notion} is that of weights which are no more"


def centred() -> Iterator[str]:
    """A mean over the batch: refused, or else it must not matter."""
    net, x_BCHW = random_net("normalized", 5), random_images(5, 20)
    y_B = predictions(net, x_BCHW)
    for layer in net.modules():
        layer.train()
    before = state_sha256(net)
    try:
        alone = torch.cat(
            [verdicts(net, "lipschitz", x[None], y[None]) for x, y in zip(x_BCHW, y_B, strict=True)]
        )
        together = verdicts(net, "lipschitz", x_BCHW, y_B)
    except ZooError:
        return
    if not torch.equal(alone, together):
        yield "train mode: verdicts depend on the batch"
    if state_sha256(net) != before:
        yield "train mode: certifying moved a running mean"
