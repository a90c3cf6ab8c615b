"""Sixteen ways in which published certified accuracies have been wrong, and what guards each.

A number is that of a mutant's PITFALL. Where it was seen: in verifiers' and zoos' issue threads, in
reference implementations of l_inf-distance nets, and in evaluation scripts of other repositories.
"""

from __future__ import annotations

# number: what goes wrong, the hunt that guards it
PITFALLS = {
    1: ("batch statistics, or train mode, while certifying", "reproducible"),
    2: ("dropout or masks that are active", "reproducible"),
    3: ("eps in normalised pixels, divided by a mean std, truncated or cast", "arithmetic"),
    4: ("finite p, or an estimate, called certified", "guards"),
    5: ("the factor 2 missing, or a wrong Lipschitz constant", "border_lipschitz"),
    6: ("an augmented or shuffled test set, other pixels, another split", "counts"),
    7: ("a subset, a dropped batch, an image counted twice", "counts"),
    8: ("reduced precision", "numerics"),
    9: ("a wrong class left out of the worst margin", "verdicts"),
    10: ("NaN counted as certified", "verdicts"),
    11: ("ties counted as certified or correct", "verdicts"),
    12: ("intervals that cross repaired, fudge constants", "layers"),
    13: ("robust but wrong", "verdicts"),
    14: ("errors that become verdicts", "verdicts"),
    15: ("certificates of another net than the published file", "files"),
    16: ("selection on test images", "splits"),
}
