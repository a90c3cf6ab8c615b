"""Net: what all nets of the l_inf family are, layers in a row from raw pixels to logits.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar, TypedDict, TypeVar

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from zoo.eps import round_up
from zoo.errors import UsageError
from zoo.layers import LpDist, Normalize, set_exponent
from zoo.rules import describe, enter_expand
from zoo.rules.describe import Description
from zoo.rules.expand import Add


class Images(TypedDict, total=False):
    """What a net is told of the images it sees, and of its form; arguments of every net.

    Attributes:
        num_classes, in_chans, img_size: as in timm, with its defaults; images are square.
        mean, std: what Normalize subtracts (one a channel, or one for all) and divides by, in pixel
            units; 0 and 1 by default.
        folded: build the published form.
    """

    num_classes: int
    in_chans: int
    img_size: int | tuple[int, int]
    mean: float | Sequence[float]
    std: float
    folded: bool


class Net(nn.Module):
    """logits = layers(x), with a Normalize in front in training and none in the published form.

    A subclass names its sizes, checks them and says its layers; everything else is the same for
    all: the constant, the exponent, the form, the rules by which bounds pass.

    Args:
        sizes: the subclass's own arguments, such that type(net)(**net.arguments) is built alike.
        num_classes, in_chans, img_size, mean, std, folded: see Images.

    Attributes:
        layers: all of them, in order.
        arguments: of the constructor, but for mean, std and folded.
        config: arguments that a card holds, i.e. those that the architecture's name does not say.
        mean, std: the normalisation in training.
    """

    default_bound: ClassVar[str] = "lipschitz"
    # Whether its weights can take in what Normalize does.
    foldable: ClassVar[bool] = True
    # Arguments that the registered name of an architecture says.
    named: ClassVar[tuple[str, ...]] = ("depth",)

    layers: nn.Sequential

    def __init__(
        self,
        sizes: Mapping[str, Any],
        *,
        num_classes: int = 10,
        in_chans: int = 3,
        img_size: int | tuple[int, int] = 32,
        mean: float | Sequence[float] = 0.0,
        std: float = 1.0,
        folded: bool = False,
    ):
        super().__init__()
        kind = type(self).__name__
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        if height != width:
            raise UsageError(f"{kind}: images must be square, got {height} x {width}")
        mean_C = list(mean) if isinstance(mean, Sequence) else [float(mean)] * in_chans
        counts = {name: size for name, size in sizes.items() if type(size) is int}
        counts |= {"num_classes": num_classes, "in_chans": in_chans, "img_size": height}
        if min(counts.values()) < 1 or len(mean_C) != in_chans:
            said = ", ".join(f"{name}={size}" for name, size in counts.items())
            raise UsageError(
                f"{kind}: sizes must be positive and mean must have in_chans = {in_chans} "
                f"entries, got {said}, mean={mean_C}"
            )
        self.num_classes, self.folded = num_classes, folded
        self.mean, self.std = tuple(mean_C), float(std)
        self.input_shape = (in_chans, height, height)
        given = {name: value for name, value in sizes.items() if value is not None}
        self.arguments: dict[str, Any] = given | {
            "num_classes": num_classes,
            "in_chans": in_chans,
            "img_size": height,
        }
        self.config = {key: each for key, each in self.arguments.items() if key not in self.named}

    def build(self, layers: Mapping[str, nn.Module]) -> None:
        """Set the layers that come after the Normalize."""
        first = {} if self.folded else {"normalize": Normalize(self.mean, self.std)}
        self.layers = nn.Sequential()
        for name, layer in {**first, **layers}.items():
            self.layers.add_module(name, layer)

    @property
    def lipschitz(self) -> float | None:
        """l_inf Lipschitz constant of each logit at p = inf in eval mode, in raw pixels.

        None where a subclass states none.
        """
        return self.gain

    @property
    def gain(self) -> float:
        """That of all its Normalize layers together, rounded up: distance layers have 1."""
        gains = [layer.lipschitz for layer in self.modules() if isinstance(layer, Normalize)]
        return round_up(math.prod(map(Fraction, gains), start=Fraction(1)))

    @property
    def p(self) -> float:
        """Exponent of all distance layers, inf where there is none; assign to set it for all."""
        return next((layer.p for layer in self.modules() if isinstance(layer, LpDist)), math.inf)

    @p.setter
    def p(self, p: float) -> None:
        set_exponent(self, p)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.layers(x_BCHW)


NetType = TypeVar("NetType", bound=type[Net])


def bounded_by_layers(cls: NetType) -> NetType:
    """Decorator: a net that computes layers(x) and no more, so its rules are those of its layers.

    Said once for each class: a subclass may compute something else (zoo.rules.dispatch).
    """

    @enter_expand(cls)
    def _(net: Net, add: Add, x: Any) -> Any:
        return add(net.layers, [x])

    @describe.register(cls)
    def _(net: Net, name: str = "") -> Description:
        return describe(net.layers, f"{name}.layers" if name else "layers")

    return cls


def enter_architectures(
    cls: type[Net], name: str, depths: Iterable[int], about: str
) -> dict[str, Callable[..., nn.Module]]:
    """Enter name<depth> in timm's registry for each depth.

    Returns:
        What the module that calls this must hold under these names, for timm looks there.
    """
    created: dict[str, Callable[..., nn.Module]] = {}
    for depth in depths:
        created |= enter_architecture(cls, f"{name}{depth}", about.format(depth), depth=depth)
    return created


def enter_architecture(
    cls: type[Net], name: str, about: str, **said: Any
) -> dict[str, Callable[..., nn.Module]]:
    """Enter one name in timm's registry, and the arguments that it says; returns as the above."""

    def create(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(cls, name, pretrained, **said, **kwargs)

    create.__name__ = create.__qualname__ = name
    create.__doc__, create.__module__ = about, cls.__module__
    return {name: register_model(create)}


def default_configs(names: Iterable[str]) -> Any:
    """timm's configurations of architectures, for the module that registers them.

    Pixels go in raw: normalisation is part of the model, so timm's own must do nothing.
    """
    return generate_default_cfgs(
        {
            name: {
                "input_size": (3, 32, 32),
                "num_classes": 10,
                "mean": (0.0,),
                "std": (1.0,),
                "crop_pct": 1.0,
                "fixed_input_size": True,
            }
            for name in names
        }
    )
