"""A residual ReLU net of the size that linear bounds were first scaled to.

Wong et al. 2018, arXiv:1805.12514.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Unpack

from torch import nn

from zoo.errors import UsageError
from zoo.layers import Residual
from zoo.models.net import Images, bounded_by_layers, default_configs, enter_architecture
from zoo.models.relu_net import ReLUNet


@bounded_by_layers
class ReLUResNet(ReLUNet):
    """A convolution, residual blocks of 1, 1, 2 and 4 times its channels, two linear layers.

    Args:
        channels: of the first convolution.
        width: units in the hidden linear layer.
        init: of the weights, see ConvNet.
        images: see zoo.models.net.Images; sides must be multiples of 4.
    """

    def __init__(
        self,
        channels: int = 16,
        width: int = 1000,
        init: str = "default",
        **images: Unpack[Images],
    ):
        super().__init__({"channels": channels, "width": width}, **images)
        in_chans, side, _ = self.input_shape
        if side % 4:
            raise UsageError(f"ReLUResNet halves images twice, which {side} pixels do not allow")
        self.num_features = width
        layers: dict[str, nn.Module] = {"conv": nn.Conv2d(in_chans, channels, 3, 1, 1)}
        layers["relu"] = nn.ReLU()
        num_in = channels
        for i, multiple in enumerate((1, 1, 2, 4), 1):
            num_out = multiple * channels
            layers[f"block{i}"] = _block(num_in, num_out, halves=multiple > 1)
            layers[f"relu{i}"] = nn.ReLU()
            num_in = num_out
        layers["flatten"] = nn.Flatten()
        layers["linear1"] = nn.Linear(num_in * (side // 4) ** 2, width)
        layers["linear_relu"] = nn.ReLU()
        layers["linear2"] = nn.Linear(width, self.num_classes)
        self.build(layers, init)


def _block(num_in: int, num_out: int, *, halves: bool) -> Residual:
    stride, first, skip = (2, 4, 2) if halves else (1, 3, 1)
    body: OrderedDict[str, nn.Module] = OrderedDict()
    body["conv1"], body["relu"] = nn.Conv2d(num_in, num_out, first, stride, 1), nn.ReLU()
    body["conv2"] = nn.Conv2d(num_out, num_out, 3, 1, 1)
    return Residual(nn.Sequential(body), nn.Conv2d(num_in, num_out, skip, stride))


default_cfgs = default_configs(["cap_resnet"])
_ABOUT = "A residual ReLU net of 4 blocks (Wong et al. 2018)."
globals().update(enter_architecture(ReLUResNet, "cap_resnet", _ABOUT))
