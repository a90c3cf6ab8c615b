"""What objectives of nets with a head share: its logits, and its margins over a box of features.

Shapes: B batch, K classes, F features, C/H/W image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

_PARTS = ("features", "head", "feature_lipschitz")  # of zoo.models.HeadedNet


def read_head(model: nn.Module, x_BCHW: Tensor, y_B: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """logits_BK, and lower bounds margins_BK of the head over [z - L eps, z + L eps].

    z_BF are the features and L their constant. Distances are 1-Lipschitz at p = inf only: at finite
    p features may leave this box, and the margins are estimates, good enough to train by.

    Raises:
        UsageError: a model without features and a head.
    """
    from zoo.propagation import Reach, interval_margins, steps_of

    features, head, lipschitz = (getattr(model, name, None) for name in _PARTS)
    if features is None or head is None or lipschitz is None:
        raise UsageError(
            f"{type(model).__name__} has no head over features that are distances\n"
            "  train it by another objective, mixture for example; or take a linf_dist_hybrid"
        )
    z_BF, radius = features(x_BCHW), lipschitz * eps
    steps, logits_BK = steps_of(head, z_BF)
    assert logits_BK is not None
    reach = Reach(steps, (z_BF - radius, z_BF + radius))
    return logits_BK, interval_margins(reach, y_B)
