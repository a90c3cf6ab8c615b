"""zoo.average: the mean of published nets, over nets and views, certified as itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch

from zoo.attacks import Attack
from zoo.cards.card import Card, Member
from zoo.data.load import load_data
from zoo.errors import UsageError
from zoo.models import LinfAverage, Net
from zoo.names import contradiction
from zoo.publishing.release import Claim, Measuring, release, vacant
from zoo.weights import load

ARCH = "linf_average"
# What members must agree on: else their mean is of different things.
_ALIKE = ("data", "eps", "bound", "clip", "mean", "std")


def average(
    *names_or_paths: str | Path,
    name: str,
    views: Sequence[str] = ("same",),
    out: str | Path | None = None,
    attack: Attack | None = None,
    progress: Callable[[int, int], None] | None = None,
    quiet: bool = False,
) -> Path:
    """Average the logits of published nets over views of the image, certify, attack and write it.

    The claim is measured anew: the average is another function.

    Args:
        names_or_paths: published nets or weight folders, for the same data and eps.
        name: of the average, linf_average.<data>_eps<e>[_variant].
        views: "same", "flip", "up", "down", "left", "right"; each member sees the image in each.
        out: folder that holds weight folders and index.json; the zoo's own by default.
        attack: what certified images must survive; PGD with 100 steps and 5 restarts by default.
        progress: called with (images done, images in all).
        quiet: say nothing on stderr.

    Returns:
        The new folder, out/<name>.

    Raises:
        NotFoundError, IntegrityError: see load and load_data.
        UsageError: members that do not agree, are averages or the same net twice; other views; a
            name that says something else or is taken.
        FalsifiedError: an attack broke a certified image; nothing is written.
    """
    if not names_or_paths:
        raise UsageError("average takes at least one published net")
    nets = [load(each) for each in names_or_paths]
    cards = [cast(Card, net.card) for net in nets]
    first = cards[0]
    said = contradiction(name, ARCH, first.data, first.eps)
    if said is not None:
        raise UsageError(f"{name}: {said}\n  give it a name that fits")
    parent = vacant(out, name, "another --name, or another folder with --out")
    mean_of_nets = _averaged(nets, cards, views)
    about = {
        "mean": first.mean,
        "std": first.std,
        "source": "; ".join(dict.fromkeys(card.source for card in cards)),
        "training": first.training,
        "averaged_from": tuple(Member(name=card.name, sha256=card.sha256) for card in cards),
    }
    claim = Claim(name, ARCH, first.eps, first.bound, first.clip)
    test = load_data(first.data, "test")
    return release(mean_of_nets, claim, about, test, parent, Measuring(attack, progress, quiet))


@torch.no_grad()
def _averaged(
    nets: Sequence[torch.nn.Module], cards: Sequence[Card], views: Sequence[str]
) -> LinfAverage:
    """The average of loaded nets, whose weights are copied into it."""
    members = []
    for net, card in zip(nets, cards, strict=True):
        if not isinstance(net, Net) or isinstance(net, LinfAverage) or not net.folded:
            raise UsageError(f"average takes folded nets that are no averages, not {card.name}")
        for key in _ALIKE:
            mine, other = getattr(card, key), getattr(cards[0], key)
            if mine != other:
                raise UsageError(f"{card.name} has {key} {mine}, {cards[0].name} has {other}")
        if net.input_shape != nets[0].input_shape or net.num_classes != nets[0].num_classes:
            raise UsageError(f"{card.name} has other images or classes than {cards[0].name}")
        arguments = {key: value for key, value in net.config.items() if key not in _sizes(net)}
        members.append({"arch": card.arch, "args": arguments})
    if len({card.sha256 for card in cards}) < len(cards):
        raise UsageError("average: a net is given twice")
    first = nets[0]
    assert isinstance(first, Net)
    found = LinfAverage(members, views, **_sizes(first), folded=True)
    for member, net in zip(found.members, nets, strict=True):
        member.load_state_dict(net.state_dict())
    return found.eval()


def _sizes(net: Net) -> dict[str, int]:
    channels, side, _ = net.input_shape
    return {"num_classes": net.num_classes, "in_chans": channels, "img_size": side}
