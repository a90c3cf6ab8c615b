"""Averages of published nets, over nets and over views of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import timm
from torch import nn

from zoo.architectures import check_values
from zoo.errors import UsageError
from zoo.layers import Average, Flip, Shift
from zoo.models.net import Images, Net, bounded_by_layers, default_configs, enter_architecture

_VIEWS: dict[str, Callable[[], nn.Module]] = {
    "same": nn.Sequential,
    "flip": Flip,
    "up": lambda: Shift(-1, 0),
    "down": lambda: Shift(1, 0),
    "left": lambda: Shift(0, -1),
    "right": lambda: Shift(0, 1),
}


@bounded_by_layers
class LinfAverage(Net):
    """logits = mean of member(view(x)) over all members and views, 1-Lipschitz as each of them.

    It is made of folded nets and is trained, if at all, in this form (`folded: true` in a recipe).

    Args:
        members: an architecture and its arguments each, but for those that the average says.
        views: from "same", "flip" (left and right), "up", "down", "left", "right" (by a pixel).
        images: see zoo.models.net.Images.

    Raises:
        UsageError: members or views that are none, or an average that is not folded.
    """

    named: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        members: Sequence[Mapping[str, Any]],
        views: Sequence[str] = ("same",),
        **images: Unpack[Images],
    ):
        # Here too, since timm reads folders of its own accord.
        check_values({"members": members, "views": views})
        if not images.get("folded", False):
            raise UsageError(
                "LinfAverage has no training form: zoo average makes it of trained nets"
            )
        own = {
            "members": [{"arch": m["arch"], "args": dict(m["args"])} for m in members],
            "views": list(views),
        }
        super().__init__(own, **images)
        shared = {key: self.arguments[key] for key in ("num_classes", "in_chans", "img_size")}
        nets = [timm.create_model(m["arch"], **m["args"], **shared, folded=True) for m in members]
        self.build({"average": Average(nets, [_VIEWS[view]() for view in views])})

    @property
    def members(self) -> nn.ModuleList:
        """The nets that are averaged."""
        average = self.layers[0]
        assert isinstance(average, Average)
        return average.members


default_cfgs = default_configs(["linf_average"])
_ABOUT = "Average of l_inf nets over nets and views."
globals().update(enter_architecture(LinfAverage, "linf_average", _ABOUT))
