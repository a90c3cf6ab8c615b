"""HeadedNet: a distance net whose outputs are the features that a small MLP reads.

Shapes: B batch, C/H/W image, F features, K classes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from torch import Tensor, nn

from zoo.layers import ScaledLinear
from zoo.models.net import Net


class HeadedNet(Net):
    """logits = head(features(x)), the last of `layers` being `head` (arXiv:2102.05363).

    Over a ball of radius eps each feature stays within feature_lipschitz * eps; what the head makes
    of that box only the interval bound can say, so the net as a whole states no constant.
    """

    default_bound: ClassVar[str] = "interval"

    @property
    def lipschitz(self) -> None:
        """None: the head has none worth stating."""
        return None

    @property
    def feature_lipschitz(self) -> float:
        """l_inf Lipschitz constant of each feature at p = inf in eval mode, in raw pixels."""
        return self.gain

    @property
    def head(self) -> nn.Module:
        """From features to logits."""
        return self.layers[-1]

    def features(self, x_BCHW: Tensor) -> Tensor:
        """x_BF, what the distance layers give."""
        *body, _ = self.layers
        x = x_BCHW
        for layer in body:
            x = layer(x)
        return x


def mlp_head(num_in: int, width: int, num_classes: int, *, folded: bool) -> nn.Sequential:
    """Linear, tanh, Linear; the linear layers are ScaledLinear in training."""
    linear = nn.Linear if folded else ScaledLinear
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["linear1"], layers["tanh"] = linear(num_in, width), nn.Tanh()
    layers["linear2"] = linear(width, num_classes)
    return nn.Sequential(layers)
