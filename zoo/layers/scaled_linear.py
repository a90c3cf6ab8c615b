"""ScaledLinear: a linear layer whose optimiser sees weights of unit variance.

Shapes: B batch, I in features, O out features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.rounding import Affine
from zoo.rules import describe, enter_affine
from zoo.rules.describe import Description


class ScaledLinear(nn.Module):
    """y = x (W / sqrt(I))^T + b with W ~ N(0, 1) and b = 0 at the start, (B, I) to (B, O).

    The parametrisation of Jacot et al. 2018 (arXiv:1806.07572): a step of Adam has the size of the
    learning rate whatever the fan-in, which fits these weights. The published form of the layer is
    an nn.Linear (zoo.models.fold).

    Attributes:
        scale: 1 / sqrt(I) as a float32 number, so that nets of all dtypes mean the same function.
    """

    def __init__(self, num_in: int, num_out: int):
        super().__init__()
        # On the CPU, since a net that is only planned, on the meta device, has no values.
        self.scale: float = torch.tensor(num_in**-0.5, dtype=torch.float32, device="cpu").item()
        self.weight = nn.Parameter(torch.randn(num_out, num_in))
        self.bias = nn.Parameter(torch.zeros(num_out))

    @property
    def scaled_OI(self) -> Tensor:
        """The weights that the layer multiplies with."""
        return self.weight * self.scale

    def forward(self, x_BI: Tensor) -> Tensor:
        return F.linear(x_BI, self.scaled_OI, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, scale={self.scale:.4g}"


@enter_affine(ScaledLinear)
def _(layer: ScaledLinear, x: Tensor | None = None) -> Affine:
    # SOUND: scaling rounds each weight once, as one more product in each sum would.
    return Affine(F.linear, layer.scaled_OI, layer.bias, layer.weight.shape[1] + 1)


@describe.register(ScaledLinear)
def _(layer: ScaledLinear, name: str = "") -> Description:
    raise UsageError(
        "describe: ScaledLinear belongs to training and has no kind\n"
        "  fold the net first (zoo.models.fold); zoo publish does"
    )
