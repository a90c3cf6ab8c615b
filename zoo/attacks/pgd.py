"""Projected gradient descent (Madry et al. 2018, arXiv:1706.06083), with losses and restarts.

Shapes: B batch, A images still being attacked, C/H/W image, K classes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from zoo.attacks.base import Attack, attacks
from zoo.boxes import Box
from zoo.errors import UsageError
from zoo.gradients import recording
from zoo.layers import exponent
from zoo.margins import margins_of, worst

# A distance net's gradient at p = inf has one non-zero entry a path, too thin a trail to follow;
# its gradient at a finite p points the same way in all coordinates at once. Verdicts are always
# those of the net as it is.
_EXPONENTS = (32.0, math.inf, 8.0, 128.0)


def _cross_entropy(logits_AK: Tensor, y_A: Tensor) -> Tensor:
    return F.cross_entropy(logits_AK, y_A, reduction="sum")


def _margin(logits_AK: Tensor, y_A: Tensor) -> Tensor:
    return -worst(margins_of(logits_AK, y_A), y_A).sum()


@attacks.register("pgd")
@dataclass(frozen=True)
class PGD(Attack):
    """Signed gradient steps inside the box, from its centre and then from random points.

    Restarts go through the losses (margin, cross-entropy) and, for distance nets, through the
    exponents that gradients are taken at. The step falls linearly from eps / 2 to eps / 50. An
    image that is misclassified is left alone from then on. Each image has random points
    of its own, so what is found for it does not depend on the batch it comes in.

    Args:
        steps: gradient steps in each restart.
        restarts: how many starts.
        seed: of the random starts.
    """

    steps: int = 100
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise UsageError(
                f"pgd needs steps and restarts of at least 1, got {self.steps} and {self.restarts}"
            )

    def __str__(self) -> str:
        return f"pgd(steps={self.steps},restarts={self.restarts},seed={self.seed})"

    def run(self, model: nn.Module, box: Box, y_B: Tensor) -> Tensor:
        lower_BCHW, upper_BCHW = box.inner()
        best_BCHW = box.x_BCHW.clone()
        best_B = _worst_margin(model, best_BCHW, y_B)
        plans = itertools.product(_EXPONENTS, (_margin, _cross_entropy))
        for restart, (p, loss) in zip(range(self.restarts), itertools.cycle(plans), strict=False):
            start_BCHW = box.x_BCHW
            if restart > 0:
                noise_BCHW = _noise(start_BCHW, self.seed, restart)
                start_BCHW = lower_BCHW + noise_BCHW * (upper_BCHW - lower_BCHW)
            x_BCHW = start_BCHW
            for step in range(self.steps):
                at_A = (best_B > 0).nonzero().squeeze(1)
                if len(at_A) == 0:
                    return best_BCHW
                x_ACHW, y_A = x_BCHW[at_A], y_B[at_A]
                with exponent(model, p):
                    direction_ACHW = _gradient(model, loss, x_ACHW, y_A).sign()
                share = 0.5 - 0.48 * step / self.steps
                x_ACHW = x_ACHW + share * float(box.eps) * direction_ACHW
                x_ACHW = x_ACHW.clamp(lower_BCHW[at_A], upper_BCHW[at_A])
                x_BCHW = x_BCHW.index_copy(0, at_A, x_ACHW)
                margin_A = _worst_margin(model, x_ACHW, y_A)
                better_A = margin_A < best_B[at_A]
                best_BCHW[at_A[better_A]] = x_ACHW[better_A]
                best_B[at_A[better_A]] = margin_A[better_A]
        return best_BCHW


def _noise(x_BCHW: Tensor, seed: int, restart: int) -> Tensor:
    """Uniform in [0, 1), of x's shape: for each image a pure function of its bytes, seed, restart.

    Drawn for the batch as a whole, the starts of an image would depend on its neighbours, and
    verdicts on the batch size. Drawn on the CPU, so that they do not depend on the device.
    """
    generator = torch.Generator()
    noise_BCHW = torch.empty(x_BCHW.shape, dtype=torch.float32)
    for noise_CHW, x_CHW in zip(noise_BCHW, x_BCHW.detach().cpu().numpy(), strict=True):
        key = hashlib.sha256(f"{seed} {restart} ".encode() + x_CHW.tobytes()).digest()
        noise_CHW.uniform_(generator=generator.manual_seed(int.from_bytes(key[:8], "little")))
    return noise_BCHW.to(x_BCHW)


@recording("an attack by gradients")
def _gradient(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x_ACHW: Tensor, y_A: Tensor
) -> Tensor:
    x_ACHW = x_ACHW.detach().requires_grad_()
    # With parameters that want no gradient, kernels compute that of the images alone.
    constants = {name: tensor.detach() for name, tensor in model.named_parameters()}
    logits_AK = functional_call(model, constants, (x_ACHW,))
    return torch.autograd.grad(loss(logits_AK, y_A), x_ACHW)[0]


@torch.no_grad()
def _worst_margin(model: nn.Module, x_ACHW: Tensor, y_A: Tensor) -> Tensor:
    return worst(margins_of(model(x_ACHW), y_A), y_A)
