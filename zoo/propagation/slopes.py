"""Slopes that are chosen by what they do to the bound, instead of by the ends of one ReLU.

Shapes: B batch, S rows; ``...`` the shape of a ReLU's input without its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from zoo.gradients import recording
from zoo.propagation.backward import Source
from zoo.propagation.steps import Step
from zoo.relaxations import Slopes
from zoo.relaxations.lines import chord, stable
from zoo.rounding import Ends

# Lower slope of each ReLU, by the number of its step: (B, ...), or (B, S, ...) for a row each.
Alphas = Mapping[int, Tensor]


def relu_inputs(steps: Sequence[Step], ends: Sequence[Ends]) -> dict[int, Ends]:
    """Ends of what each ReLU takes, by the number of its step."""
    return {i: ends[s.inputs[0]] for i, s in enumerate(steps) if type(s.layer) is nn.ReLU}


def lower_slopes(alphas: Alphas) -> Source:
    """Lines of these lower slopes, and the chord above; stable neurons keep theirs."""

    def slopes(step: int, lower: Tensor, upper: Tensor) -> Slopes:
        alpha = alphas[step]
        if alpha.ndim > lower.ndim:
            lower, upper = lower[:, None], upper[:, None]
        return Slopes(stable(alpha, lower, upper), chord(lower, upper))

    return slopes


def one_sign_step(loss: Callable[[Alphas], Tensor], start: Alphas) -> Alphas:
    """alpha = clamp(start - 2 sign(d loss / d alpha), 0, 1): 0 or 1 wherever the loss feels it.

    Lee et al. 2021 (NeurIPS), in their code: a step so large that it ends at the better bound of
    alpha, and leaves the start where the derivative is 0. No gradient flows through the result.

    Args:
        loss: a scalar that is to fall.
    """
    if not start:  # a net without ReLUs
        return {}
    with recording("a search for slopes"):
        leaves = {i: alpha.detach().requires_grad_() for i, alpha in start.items()}
        gradients = torch.autograd.grad(loss(leaves), list(leaves.values()), allow_unused=True)
    return {
        i: _moved(alpha, g, -2) for (i, alpha), g in zip(leaves.items(), gradients, strict=True)
    }


def best_of_many_steps(
    bound: Callable[[Alphas], Tensor], start: Alphas, sizes: Iterable[float]
) -> Alphas:
    """Sign steps of these sizes uphill; of each row the slopes with the largest bound seen.

    Xu et al. 2021 (arXiv:2011.13824) optimise slopes with Adam; signs need no tuning here, as
    all slopes lie in [0, 1]. Never below the start, row by row.

    Args:
        bound: (B, S), of slopes (B, S, ...).
    """
    if not start:
        return {}
    with recording("a search for slopes"):
        alphas = {i: alpha.detach().requires_grad_() for i, alpha in start.items()}
        found_BS = bound(alphas)
        best, best_BS = {i: alpha.detach() for i, alpha in alphas.items()}, found_BS.detach()
        for size in sizes:
            gradients = torch.autograd.grad(
                found_BS.sum(), list(alphas.values()), allow_unused=True
            )
            alphas = {
                i: _moved(alpha, g, size).requires_grad_()
                for (i, alpha), g in zip(alphas.items(), gradients, strict=True)
            }
            found_BS = bound(alphas)
            better_BS = found_BS.detach() > best_BS
            best_BS = torch.where(better_BS, found_BS.detach(), best_BS)
            best = {i: _choose(better_BS, alphas[i].detach(), best[i]) for i in best}
    return best


def _moved(alpha: Tensor, gradient: Tensor | None, size: float) -> Tensor:
    """A step of this size by the sign of the gradient, None being 0 everywhere."""
    alpha = alpha.detach()
    return alpha if gradient is None else (alpha + size * gradient.sign()).clamp(0, 1)


def _choose(better_BS: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better_BS.view(*better_BS.shape, *[1] * (new.ndim - 2)), new, old)
