"""Published data sets are pinned: what was measured on other pixels is another claim.

Shapes: N images, C/H/W channel, height, width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from zoo.data.pixels import content_sha256
from zoo.errors import IntegrityError


def check_pinned(
    name: str, part: str, x_NCHW: Tensor, y_N: Tensor, pins: Mapping[str, str], where: str | Path
) -> None:
    """Refuse a whole part (train or test) whose decoded pixels or labels are not those published.

    Args:
        pins: sha256 of each part, as content_sha256 computes it.
        where: what holds the files, for the message.

    Raises:
        IntegrityError: they are not.
    """
    found = content_sha256(x_NCHW, y_N)
    if found != pins[part]:
        raise IntegrityError(
            f"the {part} images of {name!r} in {where} are not the published ones\n"
            f"  sha256 of the decoded pixels and labels: {found}, wanted {pins[part]}\n"
            "  fetch the files again; if they are right, a library here decodes them differently"
        )
