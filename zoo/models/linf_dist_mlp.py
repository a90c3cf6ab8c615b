"""l_inf-distance nets: fully connected, 1-Lipschitz by construction.

Zhang et al. 2021, arXiv:2102.05363; training by arXiv:2110.06850.
Shapes: B batch, K classes, C/H/W image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from zoo.eps import round_up
from zoo.errors import UsageError
from zoo.layers import (
    LpDist,
    LpDistLinear,
    MeanShift,
    Negate,
    Normalize,
    PrunedLinfDistLinear,
    set_exponent,
)
from zoo.rounding import NAIVE, Ends, Reading
from zoo.rules import Rounded, describe, forward_error, interval
from zoo.rules.describe import Description


class LinfDistMLP(nn.Module):
    """logits = -(dist_depth o ... o dist_1)(x), every dist_l an LpDistLinear.

    In training a Normalize comes first and a MeanShift behind each hidden layer; `folded`, both are
    absorbed into weights and biases (see zoo.models.fold) and the net takes raw pixels.

    Args:
        depth: number of distance layers, the output layer included.
        width: units in each hidden layer.
        num_classes, in_chans, img_size: as in timm; images are (in_chans, img_size, img_size).
        mean, std: what Normalize subtracts (one a channel, or one for all) and divides by, in pixel
            units.
        folded: build the published form.
        edges: number of edges of each layer of a pruned net (see zoo.models.prune); it is folded.
    """

    default_bound = "lipschitz"

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        num_classes: int = 10,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 32,
        mean: float | Sequence[float] = 0.0,
        std: float = 1.0,
        folded: bool = False,
        edges: Sequence[int] | None = None,
    ):
        super().__init__()
        height, width_in = (img_size, img_size) if isinstance(img_size, int) else img_size
        if height != width_in:
            raise UsageError(f"LinfDistMLP: images must be square, got {height} x {width_in}")
        mean_C = list(mean) if isinstance(mean, Sequence) else [float(mean)] * in_chans
        if min(depth, width, num_classes, in_chans, height) < 1 or len(mean_C) != in_chans:
            raise UsageError(
                f"LinfDistMLP: sizes must be positive and mean must have in_chans = {in_chans} "
                f"entries, got depth={depth}, width={width}, num_classes={num_classes}, "
                f"img_size={height}, mean={mean_C}"
            )
        if edges is not None and (not folded or len(edges) != depth or min(edges) < 1):
            raise UsageError(
                f"LinfDistMLP: edges are those of the {depth} layers of a folded net, "
                f"got edges={list(edges)}, folded={folded}"
            )
        self.num_classes, self.num_features, self.folded = num_classes, width, folded
        self.mean, self.std = tuple(mean_C), float(std)
        self.input_shape = (in_chans, height, height)
        self.config: dict[str, Any] = {
            "width": width,
            "num_classes": num_classes,
            "in_chans": in_chans,
            "img_size": height,
        } | ({} if edges is None else {"edges": list(edges)})
        layers: dict[str, nn.Module] = {} if folded else {"normalize": Normalize(mean_C, std)}
        layers["flatten"] = nn.Flatten()
        num_in = in_chans * height * height
        for i in range(1, depth + 1):
            last = i == depth
            num_out = num_classes if last else width
            if edges is not None:
                layers[f"dist{i}"] = PrunedLinfDistLinear(num_in, num_out, edges[i - 1])
            else:
                bias = folded or last
                layers[f"dist{i}"] = LpDistLinear(num_in, num_out, bias=bias, identity=not last)
            if not (folded or last):
                layers[f"shift{i}"] = MeanShift(width)
            num_in = width
        layers["negate"] = Negate()
        self.layers = nn.Sequential()
        for name, layer in layers.items():
            self.layers.add_module(name, layer)

    @property
    def lipschitz(self) -> float:
        """l_inf Lipschitz constant of each logit at p = inf in eval mode, in raw pixels."""
        gains = [layer.lipschitz for layer in self.modules() if isinstance(layer, Normalize)]
        return round_up(math.prod(map(Fraction, gains), start=Fraction(1)))

    @property
    def p(self) -> float:
        """Exponent of all distance layers, inf for a pruned net; assign to set it for all."""
        return next((layer.p for layer in self.layers if isinstance(layer, LpDist)), math.inf)

    @p.setter
    def p(self, p: float) -> None:
        set_exponent(self, p)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.layers(x_BCHW)


@interval.register(LinfDistMLP)
def _(layer: LinfDistMLP, lower: Tensor, upper: Tensor, reading: Reading = NAIVE) -> Ends:
    return interval(layer.layers, lower, upper, reading)


@forward_error.register(LinfDistMLP)
def _(layer: LinfDistMLP, x: Rounded, unit: float) -> Rounded:
    return forward_error(layer.layers, x, unit)


@describe.register(LinfDistMLP)
def _(layer: LinfDistMLP, name: str = "") -> Description:
    return describe(layer.layers, f"{name}.layers" if name else "layers")


def _register(depth: int) -> None:
    """Enter ``linf_dist_mlp<depth>`` in timm's registry."""

    def create(pretrained: bool = False, **kwargs: Any) -> LinfDistMLP:
        return build_model_with_cfg(LinfDistMLP, create.__name__, pretrained, depth=depth, **kwargs)

    create.__name__ = create.__qualname__ = f"linf_dist_mlp{depth}"
    create.__doc__ = f"l_inf-distance net with {depth} layers (Zhang et al. 2021)."
    globals()[create.__name__] = register_model(create)


# Pixels go in raw: normalisation is part of the model, so timm's own must do nothing.
default_cfgs = generate_default_cfgs(
    {
        f"linf_dist_mlp{depth}": {
            "input_size": (3, 32, 32),
            "num_classes": 10,
            "mean": (0.0,),
            "std": (1.0,),
            "crop_pct": 1.0,
            "fixed_input_size": True,
        }
        for depth in range(3, 8)
    }
)
for _depth in range(3, 8):
    _register(_depth)
