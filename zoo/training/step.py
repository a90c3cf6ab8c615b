"""One training step as one module, so that a wrapper for several processes sees every forward pass.

Shapes: B batch, C/H/W image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.layers import set_exponent
from zoo.objectives import Knobs
from zoo.recipes import Recipe
from zoo.training.teacher import Teacher


class Step(nn.Module):
    """Loss of a batch under an objective; what accelerate prepares.

    Calling a method of a wrapped model would bypass the wrapper, and processes would drift apart
    without an error: so the loss is computed in here.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, teacher: Teacher | None = None):
        super().__init__()
        self.model, self.objective, self.teacher = model, recipe.objective, teacher
        self.parameters_of_objective = nn.ParameterDict(
            {name: nn.Parameter(value) for name, value in self.objective.parameters().items()}
        )
        if recipe.teacher is not None:
            scale = torch.tensor(recipe.teacher.scale)
            self.parameters_of_objective["distill_scale"] = nn.Parameter(scale)

    def forward(self, x_BCHW: Tensor, y_B: Tensor, knobs: Knobs) -> tuple[Tensor, Tensor]:
        """Loss, and how many of the batch are classified correctly."""
        # p is part of the function that is differentiated, so it changes with the step.
        set_exponent(self.model, knobs["p"])
        own = dict(self.parameters_of_objective.items())
        result = self.objective(self.model, x_BCHW, y_B, knobs, own)
        loss = result.loss
        if self.teacher is not None:
            logits_BK = result.logits_BK
            if not logits_BK.requires_grad:  # the objective had no use for their graph
                logits_BK = self.model(x_BCHW)
            scaled_BK = own["distill_scale"] * logits_BK
            loss = loss + knobs["distill"] * self.teacher.loss(x_BCHW, scaled_BK)
        return loss, (result.logits_BK.argmax(1) == y_B).sum()
