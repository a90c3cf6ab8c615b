"""ReLU nets: convolutions, then linear layers, as papers on bounds train and certify them.

The base of all nets whose certificates come from bounds alone, and those of plain layers in a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Unpack

from torch import nn

from zoo.errors import UsageError, unknown
from zoo.layers import Normalize
from zoo.models.narrow import INITIALISERS
from zoo.models.net import Images, Net, bounded_by_layers, default_configs, enter_architecture


class ReLUNet(Net):
    """A net with no Lipschitz constant worth stating, published as it trains.

    Its Normalize stays: zeros that pad an image stand for the channels' means, which no weight can
    say. The published mean and std are those in the weight file.
    """

    default_bound: ClassVar[str] = "interval"
    foldable: ClassVar[bool] = False
    named: ClassVar[tuple[str, ...]] = ("geometry",)

    @property
    def lipschitz(self) -> None:
        """None: only bounds on its layers certify it."""
        return None

    def build(self, layers: Mapping[str, nn.Module], init: str = "default") -> None:
        """Set the layers that come after the Normalize, with weights to begin with.

        Raises:
            UsageError: an initialisation of no such name.
        """
        if init not in INITIALISERS:
            raise unknown(
                "init", init, INITIALISERS, see="docs/models.md#relu-nets", error=UsageError
            )
        self.layers = nn.Sequential()
        for name, layer in {"normalize": Normalize(self.mean, self.std), **layers}.items():
            self.layers.add_module(name, layer)
        INITIALISERS[init](self.layers)


@dataclass(frozen=True)
class Geometry:
    """Sizes of a net of convolutions and linear layers.

    Attributes:
        source: where it comes from.
        convs: of each convolution its channels, as a multiple, kernel, stride and padding.
        channels: what they are a multiple of.
        hidden: units of hidden linear layers, as multiples.
        width: what they are a multiple of.
        batch_norm: whether a BatchNorm comes behind every layer but the last.
    """

    source: str
    convs: tuple[tuple[int, int, int, int], ...] = ()
    channels: int | None = None
    hidden: tuple[int, ...] = ()
    width: int | None = None
    batch_norm: bool = False


_LARGE = ((1, 3, 1, 1), (1, 3, 1, 1), (2, 3, 2, 1), (2, 3, 1, 1), (2, 3, 1, 1))
GEOMETRIES = {
    "fc5": Geometry("Jovanovic et al. 2022, FC", hidden=(4, 2, 1, 1), width=100),
    "conv1": Geometry("Jovanovic et al. 2022, CONV", ((1, 4, 2, 1),), 16, (1,), 100),
    "dm_small": Geometry("Gowal et al. 2018, small", ((1, 4, 2, 0), (2, 4, 1, 0)), 16, (1,), 100),
    "dm_medium": Geometry(
        "Gowal et al. 2018, medium",
        *(((1, 3, 1, 0), (1, 4, 2, 0), (2, 3, 1, 0), (2, 4, 2, 0)), 32, (1, 1), 512),
    ),
    "cap_small": Geometry("Wong et al. 2018, small", ((1, 4, 2, 1), (2, 4, 2, 1)), 16, (1,), 100),
    "cap_large": Geometry(
        "Wong et al. 2018, large",
        *(((1, 3, 1, 1), (1, 4, 2, 1), (2, 3, 1, 1), (2, 4, 2, 1)), 32, (1, 1), 512),
    ),
    "conv_med": Geometry(
        "Balunovic and Vechev 2020, ConvMed", ((1, 5, 2, 2), (4, 4, 2, 1)), 32, (1,), 250
    ),
    "conv_med_big": Geometry(
        "Balunovic and Vechev 2020, ConvMedBig",
        *(((1, 3, 1, 1), (1, 4, 2, 1), (4, 4, 2, 1)), 32, (1,), 250),
    ),
    "cnn3": Geometry("Mao et al. 2024, CNN3", ((1, 5, 2, 2), (2, 4, 2, 1)), 16),
    "cnn5": Geometry(
        "Mao et al. 2024, CNN5", ((1, 3, 1, 1), (1, 4, 2, 1), (2, 4, 2, 1)), 16, (1,), 512
    ),
    "cnn5_stride4": Geometry(
        "Zhang et al. 2020, 3-layer fixed",
        *(((1, 3, 1, 1), (2, 3, 1, 1), (2, 4, 4, 0)), 16, (1,), 256),
    ),
    "cnn6": Geometry("Lee et al. 2021, IBP_large_star", _LARGE[1:], 64, (1,), 512),
    "cnn7": Geometry("Gowal et al. 2018, large", _LARGE, 64, (1,), 512),
    "cnn7_bn": Geometry("Shi et al. 2021, CNN7", _LARGE, 64, (1,), 512, batch_norm=True),
}


@bounded_by_layers
class ConvNet(ReLUNet):
    """logits = linear(... relu(linear(flatten(... relu(conv(x)))))).

    Args:
        geometry: which net, a name in GEOMETRIES.
        channels: of the first convolution; the others follow. Its own by default.
        width: units of the last hidden linear layer; the others follow. Its own by default.
        init: of the weights, a name in INITIALISERS; no part of what the net is.
        images: see zoo.models.net.Images.

    Raises:
        UsageError: a size that the geometry has not, or images that leave it no pixel.
    """

    def __init__(
        self,
        geometry: str,
        channels: int | None = None,
        width: int | None = None,
        init: str = "default",
        **images: Unpack[Images],
    ):
        own = GEOMETRIES[geometry]
        for name, given, size in (
            ("channels", channels, own.channels),
            ("width", width, own.width),
        ):
            if given is not None and size is None:
                raise UsageError(f"{geometry} has no {name}")
        channels = own.channels if channels is None else channels
        width = own.width if width is None else width
        super().__init__({"geometry": geometry, "channels": channels, "width": width}, **images)
        layers = dict(self._convs(own, channels or 0))
        side = self.input_shape[1]
        for _, kernel, stride, padding in own.convs:
            side = (side + 2 * padding - kernel) // stride + 1
        if side < 1:
            raise UsageError(f"{geometry}: images of {self.input_shape[1]} pixels are too small")
        last = own.convs[-1][0] * (channels or 0) if own.convs else self.input_shape[0]
        layers["flatten"] = nn.Flatten()
        self.num_features = num_in = last * side**2
        for i, multiple in enumerate(own.hidden, 1):
            self.num_features = num_out = multiple * (width or 0)
            layers[f"linear{i}"] = nn.Linear(num_in, num_out)
            if own.batch_norm:
                layers[f"linear_norm{i}"] = _counting_in_int32(nn.BatchNorm1d(num_out))
            layers[f"linear_relu{i}"] = nn.ReLU()
            num_in = num_out
        layers[f"linear{len(own.hidden) + 1}"] = nn.Linear(num_in, self.num_classes)
        self.build(layers, init)

    def _convs(self, own: Geometry, channels: int) -> Iterator[tuple[str, nn.Module]]:
        num_in = self.input_shape[0]
        for i, (multiple, kernel, stride, padding) in enumerate(own.convs, 1):
            num_out = multiple * channels
            yield f"conv{i}", nn.Conv2d(num_in, num_out, kernel, stride, padding)
            if own.batch_norm:
                yield f"norm{i}", _counting_in_int32(nn.BatchNorm2d(num_out))
            yield f"relu{i}", nn.ReLU()
            num_in = num_out


def _counting_in_int32(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """Weight files hold no int64."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked = norm.num_batches_tracked.int()
    return norm


def _enter() -> dict[str, object]:
    created: dict[str, object] = {}
    for name, own in GEOMETRIES.items():
        about = f"A ReLU net of {len(own.convs)} convolutions ({own.source})."
        created |= enter_architecture(ConvNet, name, about, geometry=name)
    return created


default_cfgs = default_configs(GEOMETRIES)
globals().update(_enter())
