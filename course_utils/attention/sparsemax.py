"""Sparsemax: the nearest point of the simplex, which gives exact zeros where softmax gives crumbs.

Martins, Astudillo. From Softmax to Sparsemax. ICML 2016, sections 2.2 (value) and 2.5 (gradient).
https://arxiv.org/abs/1602.02068
"""

import torch
from torch import Tensor


def sparsemax(scores: Tensor) -> Tensor:
    """The weights max(s - tau, 0), with tau such that they sum to 1 over the last axis.

    The gradient reaches only the keys that kept a weight: each gets its own less their mean.

    Shape:
        scores (..., K) -> weights (..., K).
    """
    scores = scores - scores.amax(dim=-1, keepdim=True).detach()  # shifting changes nothing, and keeps tau in [-1, 0)
    with torch.no_grad():
        support = _support(scores)
    size = support.sum(dim=-1, keepdim=True)
    tau = (scores.where(support, 0.0).sum(dim=-1, keepdim=True) - 1) / size  # (..., 1)
    return (scores - tau).where(support, 0.0)


def _support(scores: Tensor) -> Tensor:
    """Which keys get a weight, for scores with maximum 0: (..., K) -> boolean (..., K).

    Start from every key that may have one, and drop those below the threshold that the kept ones imply, until none
    is dropped: a few passes, where sorting would take longer. A traced graph has no such loop and sorts instead.
    """
    if torch.compiler.is_compiling():
        ranked = scores.sort(dim=-1, descending=True).values
        count = torch.arange(1, scores.shape[-1] + 1, device=scores.device)
        tau = ((ranked.cumsum(dim=-1) - 1) / count).amax(dim=-1, keepdim=True)  # the highest of all prefixes is right
        return scores > tau
    support = scores > -1
    while True:
        tau = (scores.where(support, 0.0).sum(dim=-1, keepdim=True) - 1) / support.sum(dim=-1, keepdim=True)
        smaller = support & (scores > tau)
        if torch.equal(smaller, support):
            return support
        support = smaller
