"""Prune: drop the edges of a distance net that never decide anything.

A neuron's output is that of the one edge with the largest |x_i - w_i|; most edges of a trained net
win for no image (98 % in a net of arXiv:2110.06850). Without them the net is another function,
equal on the images it was pruned by and 1-Lipschitz as before, and is certified as itself.

Shapes: B batch, C/H/W image, I in features, O out features.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from zoo.errors import UsageError
from zoo.layers import LpDistLinear, PrunedLinfDistLinear
from zoo.models.linf_dist_mlp import LinfDistMLP
from zoo.ops import linf_dist_argmax


@torch.no_grad()
def prune(model: LinfDistMLP, images: Iterable[Tensor]) -> LinfDistMLP:
    """The net with only those edges that win for at least one of the images.

    Args:
        model: folded, at p = inf.
        images: batches x_BCHW in [0, 1]; on each of them the pruned net gives the same logits.

    Raises:
        UsageError: a net of other layers, not folded, at finite p or pruned before; no images.
    """
    if type(model) is not LinfDistMLP:
        raise UsageError(
            f"prune takes l_inf-distance nets, whose neurons are decided by one edge each, "
            f"not a {type(model).__name__}"
        )
    if not model.folded or model.p != torch.inf or "edges" in model.config:
        raise UsageError("prune takes a folded net at p = inf that has all its edges")
    full = [layer for layer in model.layers if isinstance(layer, LpDistLinear)]
    if max(layer.weight.shape[1] for layer in full) > 2**16:
        raise UsageError("prune: a layer has more than 65,536 inputs, which its edges cannot name")
    keep = {layer: torch.zeros_like(layer.weight, dtype=torch.bool) for layer in full}
    empty = True
    for x_BCHW in images:
        empty = False
        h = x_BCHW
        for layer in model.layers:
            if isinstance(layer, LpDistLinear):
                _, at_BO = linf_dist_argmax(h, layer.weight)
                keep[layer].scatter_(1, at_BO.T.long(), True)
            h = layer(h)
    if empty:
        raise UsageError("prune needs images to see which edges win")
    edges = [int(keep_OI.sum()) for keep_OI in keep.values()]
    arguments = model.config | {"folded": True, "edges": edges}
    pruned = LinfDistMLP(len(edges), **arguments).to(full[0].weight)
    new = [layer for layer in pruned.layers if isinstance(layer, PrunedLinfDistLinear)]
    for sparse, (old, keep_OI) in zip(new, keep.items(), strict=True):
        assert old.bias is not None
        sparse.set_edges(old.weight, keep_OI)
        sparse.bias.copy_(old.bias)
    return pruned.eval()
