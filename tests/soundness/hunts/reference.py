"""Verdicts equal those of a slow evaluation written apart, wherever rounding cannot decide.

The only hunt that sees a certifier that proves too little, as well as one that proves too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from soundness import reference
from soundness.nets import KINDS, predictions, random_images, random_net
from zoo.certification import Certifier

IMAGES = 5
NEAR = 1e-5  # of the largest number on the way: where rounding may decide
SHARES = (1 - 3e-4, 1 + 3e-4)  # of each image's own border


def hunt() -> Iterator[str]:
    asked = skipped = 0
    for seed, (bound, kind) in enumerate((b, kind) for b, kinds in KINDS.items() for kind in kinds):
        net, x_BCHW = random_net(kind, seed), random_images(seed + 7, IMAGES)
        y_B, x, clip = predictions(net, x_BCHW), x_BCHW.numpy(), seed % 3 != 0
        border_B = reference.borders(bound, net, x, y_B.numpy(), clip=clip)
        eps = [min(Fraction(float(b)) * Fraction(s), Fraction(1)) for s in SHARES for b in border_B]
        near_B = NEAR * reference.scale(net, x)
        found = Certifier(net, bound)(x_BCHW, y_B, eps, clip=clip)
        for certificate in found:
            eps_B = [float(certificate.eps)] * IMAGES
            margin_B = reference.margins(bound, net, x, y_B.numpy(), eps_B, clip=clip)
            far_B = np.abs(margin_B) > near_B
            asked, skipped = asked + IMAGES, skipped + int((~far_B).sum())
            off_B = (certificate.certified_B.numpy() != (margin_B > 0)) & far_B
            if off_B.any():
                at = int(off_B.argmax())
                verdict = "certified" if certificate.certified_B[at] else "not certified"
                yield f"{bound}, {kind}: {verdict}, with a margin of {margin_B[at]:.3g}"
    if skipped > asked / 10:  # a fifth are asked at their own border
        yield f"{skipped} of {asked} verdicts are too near to tell"
