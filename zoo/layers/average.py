"""Average: the mean of several nets, each of which may see an image in several ways.

Shapes: tensors have the shape of an image or of the logits.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.ops.sort_dist import float32_below
from zoo.rounding import FLUSH, NAIVE, Ends, Reading
from zoo.rules import Rounded, describe, forward_error, interval
from zoo.rules.describe import Description


class Average(nn.Module):
    """y = sum_k v f_k(x), f_k = member o view for each member and each view, v = 1 / K.

    Where all f_k are 1-Lipschitz in l_inf, so is their mean. v is rounded down to float32, so that
    K v <= 1 exactly; every product and every sum rounds once, in the order of k.

    Args:
        members: nets; the weights of each are held once, however many views it gets.
        views: what each of them is shown, for example an image and its mirror image.

    Raises:
        UsageError: no member, or no view.
    """

    def __init__(self, members: Sequence[nn.Module], views: Sequence[nn.Module]):
        super().__init__()
        if not members or not views:
            raise UsageError("Average: there is no mean of nothing; give members and views")
        self.members, self.views = nn.ModuleList(members), nn.ModuleList(views)

    @property
    def branches(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Views and members in the order in which their results are added up."""
        return ((view, member) for member in self.members for view in self.views)

    @property
    def share(self) -> float:
        """v."""
        return equal_share(len(self.members) * len(self.views))

    def forward(self, x: Tensor) -> Tensor:
        terms = (member(view(x)) * self.share for view, member in self.branches)
        return functools.reduce(operator.add, terms)


def equal_share(count: int) -> float:
    """1 / count, rounded down to float32: so many of them are at most 1, exactly."""
    share = float32_below(Fraction(1, count))
    # SOUND: the Lipschitz constant of a mean is the sum of its weights as they are.
    assert Fraction(share) * count <= 1
    return share


@interval.register(Average)
def _(layer: Average, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    def image(view: nn.Module, member: nn.Module) -> Ends:
        low, high = interval(member, *interval(view, lower, upper, reading), reading)
        return reading.step(low * layer.share, high * layer.share)

    def add(a: Ends, b: Ends) -> Ends:
        return reading.step(a[0] + b[0], a[1] + b[1])

    return functools.reduce(add, (image(*branch) for branch in layer.branches))


@forward_error.register(Average)
def _(layer: Average, x: Rounded, unit: float) -> Rounded:
    """A rounding a product and a sum: K of them, for products share one and K - 1 sums follow.

    The products' magnitudes are v times those of the branches, and all v together at most 1.
    """
    share, rule = layer.share, _own(unit)
    found = [
        forward_error(member, forward_error(view, x, unit), unit) for view, member in layer.branches
    ]
    terms = [rule(each.value * share, each.error * share) for each in found]
    value, error = functools.reduce(lambda a, b: rule(a[0] + b[0], a[1] + b[1]), terms)
    return Rounded(
        value,
        error,
        max(each.num_roundings for each in found) + len(found),
        sum((each.gain * Fraction(share) for each in found), Fraction(0)),
        max(each.growth for each in found),
    )


def _own(unit: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A computed value with its error, the value's own rounding included."""
    return lambda value, error: (value, error + unit * value.double().abs() + FLUSH)


@describe.register(Average)
def _(layer: Average, name: str = "") -> Description:
    inside = f"{name}." if name else ""
    branches = [
        [
            *describe(view, f"{inside}views.{j}"),
            *describe(member, f"{inside}members.{i}"),
        ]
        for i, member in enumerate(layer.members)
        for j, view in enumerate(layer.views)
    ]
    return [{"kind": "average", "weights": [layer.share] * len(branches), "branches": branches}]
