"""l_inf-distance nets with an MLP head, fully connected ("l_inf-dist Net+MLP").

Zhang et al. 2021, arXiv:2102.05363; sizes of arXiv:2210.01787.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from zoo.errors import UsageError
from zoo.layers import CenterCrop, LpDistLinear, MeanShift
from zoo.models.headed import HeadedNet, mlp_head
from zoo.models.net import Images, bounded_by_layers, default_configs, enter_architectures


@bounded_by_layers
class LinfDistHybrid(HeadedNet):
    """logits = head((dist_depth o ... o dist_1)(x)), every dist_l an LpDistLinear.

    In training a MeanShift comes behind each distance layer; `folded`, they have biases instead.

    Args:
        depth: number of distance layers.
        width: units in each of them, so the number of features.
        head_width: units in the head's hidden layer.
        images: see zoo.models.net.Images.
        crop: side of the middle of the image, which is all that the net sees; all of it by default.

    Raises:
        UsageError: a crop that is larger than the image.
    """

    def __init__(
        self,
        depth: int,
        width: int = 5120,
        head_width: int = 512,
        crop: int | None = None,
        **images: Unpack[Images],
    ):
        sizes = {"depth": depth, "width": width, "head_width": head_width, "crop": crop}
        super().__init__(sizes, **images)
        side = self.input_shape[1] if crop is None else crop
        if side > self.input_shape[1]:
            raise UsageError(f"LinfDistHybrid: crop = {crop} is larger than the image")
        self.num_features = width
        layers: dict[str, nn.Module] = {} if crop is None else {"crop": CenterCrop(side)}
        layers["flatten"] = nn.Flatten()
        num_in = self.input_shape[0] * side**2
        for i in range(1, depth + 1):
            layers[f"dist{i}"] = LpDistLinear(num_in, width, bias=self.folded, identity=True)
            if not self.folded:
                layers[f"shift{i}"] = MeanShift(width)
            num_in = width
        head = mlp_head(width, head_width, self.num_classes, folded=self.folded)
        self.build({**layers, "head": head})


_DEPTHS = range(3, 8)
default_cfgs = default_configs(f"linf_dist_hybrid{depth}" for depth in _DEPTHS)
_ABOUT = "l_inf-distance net of {} layers with an MLP head (Zhang et al. 2021)."
globals().update(enter_architectures(LinfDistHybrid, "linf_dist_hybrid", _DEPTHS, _ABOUT))
