"""Cross-entropy of adversarial images (Madry et al. 2018, arXiv:1706.06083).

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from zoo.terms.base import Knobs, Term, terms

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.terms.view import View


@terms.register("adversarial_cross_entropy")
class AdversarialCrossEntropy(Term):
    """CE(logits, y) where signed gradient steps lead to, from a random point of the box.

    A step is eps / 2 long at first, and falls linearly to eps / 50. The net that is attacked is the
    one that bounds see: a BatchNorm in train mode keeps the clean batch's statistics, so that the
    loss is never above that of certified margins, and counts no adversarial image.

    Args:
        steps: gradients that are taken.
    """

    bounded: ClassVar[bool] = True
    name: Literal["adversarial_cross_entropy"]
    steps: Annotated[int, Field(ge=1, le=1000)] = 8

    def __call__(self, view: View, knobs: Knobs) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(view.logits_at(self.attacked(view)), view.y_B)

    def attacked(self, view: View) -> Tensor:
        """Images x_BCHW of the box."""
        import torch
        from torch.nn import functional as F

        lower_BCHW, upper_BCHW = view.reach.box
        assert view.eps is not None
        x_BCHW = lower_BCHW + torch.rand_like(lower_BCHW) * (upper_BCHW - lower_BCHW)
        for i in range(self.steps):
            with torch.enable_grad():
                x_BCHW = x_BCHW.detach().requires_grad_()
                loss = F.cross_entropy(view.logits_at(x_BCHW), view.y_B, reduction="sum")
                (gradient_BCHW,) = torch.autograd.grad(loss, x_BCHW)
            size = (0.5 - 0.48 * i / self.steps) * view.eps
            x_BCHW = (x_BCHW + size * gradient_BCHW.sign()).clamp(lower_BCHW, upper_BCHW)
        return x_BCHW.detach()
