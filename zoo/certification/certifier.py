"""Certify batches: a model, a bound, and the two senses in which a verdict must hold.

Shapes: B batch, C/H/W image, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from zoo.bounds import create_bound
from zoo.certification.certificate import Certificate
from zoo.eps import Eps, parse_eps
from zoo.errors import UsageError
from zoo.inputs import check_batch, check_labels, classes_of, logits_of
from zoo.margins import margins_of, worst
from zoo.rounding import strict_numerics
from zoo.rules import check_certifiable


class Certifier:
    """A model that has been checked, and a bound.

    Args:
        model: in eval mode, float32 or float64.
        bound: name of a sound bound; "auto" takes the model card's, else the model's default.

    Raises:
        UsageError: a model or bound that certifies nothing (finite p, train mode, half precision,
            an estimate, lines drawn at random), or an unknown bound.
        IntegrityError: weights that are not finite.
    """

    def __init__(self, model: nn.Module, bound: str = "auto"):
        check_certifiable(model)
        _check_dtype(model)
        if bound == "auto":
            card = getattr(model, "card", None)
            bound = card.bound if card is not None else getattr(model, "default_bound", "interval")
        self.bound = create_bound(bound)
        if not self.bound.sound:
            raise UsageError(f"bound {bound} is an estimate: it can train a model, never certify")
        if not self.bound.repeatable:
            raise UsageError(
                f"bound {bound} draws its lines anew at each call, so no verdict could be checked\n"
                "  it can train a model; certify by crown_ibp, say"
            )
        self.model = model

    @torch.inference_mode(False)  # in which no bound could search for slopes
    @torch.no_grad()
    def __call__(
        self, x_BCHW: Tensor, y_B: Tensor, radii: Sequence[Fraction], *, clip: bool = True
    ) -> list[Certificate]:
        """One certificate at each eps.

        Raises:
            UsageError: images or labels that do not fit the model.
        """
        check_batch(self.model, x_BCHW, y_B)
        # A copy each time: the model may have changed since the last batch.
        model, model64 = _usable(self.model), copy.deepcopy(self.model).double()
        with strict_numerics() as numerics:
            logits_BK = logits_of(model, x_BCHW)
            check_labels(y_B, logits_BK, classes_of(logits_BK.shape))
            preds_B = strict_argmax(logits_BK)
            sweep = self.bound.sweep(model, model64, x_BCHW, y_B, radii, clip)
            certificates = []
            for eps, margins in zip(radii, sweep, strict=True):
                naive_B, real_B, deployed_B = (
                    worst(margins_BK, y_B).double()
                    for margins_BK in (margins.naive_BK, margins.real_BK, margins.deployed_BK)
                )
                margin_B = torch.minimum(real_B, deployed_B)
                certificates.append(
                    Certificate(
                        eps=eps,
                        bound=self.bound.name,
                        clip=clip,
                        numerics=numerics,
                        labels_B=y_B,
                        logits_BK=logits_BK,
                        preds_B=preds_B,
                        # SOUND: written so that 0 and NaN are not certified.
                        naive_B=naive_B > 0,
                        real_B=real_B > 0,
                        deployed_B=deployed_B > 0,
                        margin_B=margin_B,
                        slack_B=naive_B - margin_B,
                        radius_B=margins.radius_B,
                    )
                )
        return certificates


def certify(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    eps: Eps,
    *,
    bound: str = "auto",
    clip: bool = True,
) -> Certificate:
    """Prove, image by image, that no perturbation within eps changes the class.

    Args:
        model: in eval mode; pixels go in raw.
        x: images (B, C, H, W) in [0, 1].
        y: labels (B,).
        eps: radius in pixel units, 0.1, "8/255" or a Fraction.
        bound: "lipschitz", "interval", another name in docs/bounds.md, or "auto".
        clip: perturbed images stay in [0, 1].

    Raises:
        UsageError, IntegrityError: see Certifier.
    """
    return Certifier(model, bound)(x, y, [parse_eps(eps)], clip=clip)[0]


def _usable(model: nn.Module) -> nn.Module:
    """The model, or a copy of one that was made in inference mode: of such weights none derives."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model) if any(each.is_inference() for each in tensors) else model


def _check_dtype(model: nn.Module) -> None:
    """Bounds hold in any dtype; claims are made for float32 and float64 programs only."""
    for name, tensor in model.named_parameters():
        if tensor.dtype not in (torch.float32, torch.float64):
            raise UsageError(
                f"cannot certify: {name} is {tensor.dtype}\n"
                "  certificates are for float32 and float64 programs: call model.float()"
            )


def strict_argmax(logits_BK: Tensor) -> Tensor:
    """Class of the largest logit; -1 where it is not larger than every other, or is NaN."""
    preds_B = logits_BK.argmax(1)
    return torch.where(worst(margins_of(logits_BK, preds_B), preds_B) > 0, preds_B, -1)
