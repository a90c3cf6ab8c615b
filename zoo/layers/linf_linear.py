"""LinfLinear: a linear layer that is 1-Lipschitz in l_inf by construction.

Shapes: B batch, I in features, O out features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.rounding import Affine, smallest_normal
from zoo.rules import Rounded, affine, affine_error, enter_affine, forward_error, obstacle

# Share of a row's norm that starts at random, beside 1 for the identity.
_NOISE = 0.3


class LinfLinear(nn.Module):
    """y = V x + b, v_oi = w_oi / max(1, sum_j |w_oj|).

    No row of V has an l_1 norm above 1, which is the l_inf gain of a linear map (Anil et al. 2019,
    arXiv:1811.05381, §4.2). They project onto the l_1 ball instead; in one trial (digits, eps 0.1,
    width 64, one seed, three starts each) the best of dividing certified 65 % of the validation
    images, the best of projecting 60 %.

    It starts near y_o = x_(o mod I), the best start of that trial: normal weights certified 16 %.

    The form for training. Published nets hold V itself, as torch's Linear (zoo.models.fold).
    """

    def __init__(self, num_in: int, num_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_out, num_in) * (_NOISE / num_in))
        self.bias = nn.Parameter(torch.zeros(num_out))
        out = torch.arange(num_out)
        with torch.no_grad():
            self.weight[out, out % num_in] += 1

    @property
    def contracted_OI(self) -> Tensor:
        """V."""
        return self.weight / self.weight.abs().sum(1, keepdim=True).clamp_min(1)

    def forward(self, x_BI: Tensor) -> Tensor:
        return F.linear(x_BI, self.contracted_OI, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}"


@obstacle.register
def _(layer: LinfLinear) -> str | None:
    # SOUND: beyond these, a norm or an entry of V is off by more than its share of n u.
    size_OI = layer.weight.abs().double()
    norm_O1 = size_OI.sum(1, keepdim=True).clamp_min(1)
    if bool((norm_O1 > torch.finfo(layer.weight.dtype).max / 2).any()):
        return "the norm of a row may overflow"
    least_O1 = 2 * smallest_normal(layer.weight.dtype) * norm_O1
    if bool(((size_OI > 0) & (size_OI < least_O1)).any()):
        return "a weight is so small beside its row that it underflows"
    return None


@enter_affine(LinfLinear)
def _(layer: LinfLinear, x: Tensor | None = None) -> Affine:
    # SOUND: computed entries of V are off by a share of n u, so n more terms stand for them: n - 1
    # roundings of the sum and that of the quotient.
    return Affine(F.linear, layer.contracted_OI, layer.bias, 2 * layer.weight.shape[1])


@forward_error.register(LinfLinear)
def _(layer: LinfLinear, x: Rounded, unit: float) -> Rounded:
    # SOUND: computed entries of V may be below the exact ones by a share of n u, and with them what
    # they make of earlier errors: the bound leaves 1.7 times the counted roundings, 2 n and more.
    return affine_error(affine(layer), layer(x.value), x, 1.0)
