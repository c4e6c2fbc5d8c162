"""The exercises of lesson 4.4: scores, alignments, and what flows back through them."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Inputs
from ...check.tasks import Shown, Task


def biased_general_score(query: Tensor, keys: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Score each key for each query by k^T (W q + b).

    query (N, Q, dq), keys (N, K, dk), weight (dk, dq), bias (dk,) -> scores (N, Q, K).
    """
    turned = F.linear(query, weight, bias)  # (N, Q, dk): the query in the keys' space
    return turned @ keys.transpose(1, 2)


def fixed_weights(query: Tensor, keys: Tensor) -> Tensor:
    """Weigh the keys by a softmax over scaled dot products: query (N, Q, d), keys (N, K, d) -> weights (N, Q, K)."""
    scores = query @ keys.transpose(1, 2) / keys.shape[2] ** 0.5
    return scores.softmax(dim=2)


def concat_score(
    query: Tensor, keys: Tensor, query_weight: Tensor, key_weight: Tensor, bias: Tensor, vector: Tensor
) -> Tensor:
    """Score by w^T tanh(W [q; k] + b), with W = [W_1 W_2] made of the two matrices of an additive score.

    query (N, Q, dq), keys (N, K, dk), query_weight W_1 (dw, dq), key_weight W_2 (dw, dk), bias (dw,), vector w (dw,)
    -> scores (N, Q, K).
    """
    size = (-1, query.shape[1], keys.shape[1], -1)
    pairs = torch.cat([query[:, :, None].expand(size), keys[:, None].expand(size)], dim=3)  # (N, Q, K, dq + dk)
    joint = torch.cat([query_weight, key_weight], dim=1)  # (dw, dq + dk)
    return torch.tanh(F.linear(pairs, joint, bias)) @ vector


def local_weights(scores: Tensor, center: Tensor, window: int) -> Tensor:
    """Weigh the keys near a center, with Luong's Gaussian: scores (Q, K), center (Q,) -> weights (Q, K).

    A softmax over the keys at most `window` (D) away from the center, times exp(-(l - p)^2 / (2 sigma^2)), where l is
    the key's index, p the center and sigma = D / 2. The product is not brought back to a sum of 1.
    """
    distance = (torch.arange(scores.shape[1]) - center[:, None]).abs()  # (Q, K)
    weights = scores.masked_fill(distance > window, -torch.inf).softmax(dim=1)
    sigma = window / 2
    return weights * torch.exp(-(distance**2) / (2 * sigma**2))


def sparsemax_weights(scores: Tensor) -> Tensor:
    """Weigh the keys by sparsemax: scores (Q, K) -> weights (Q, K), max(score - tau, 0) with a sum of 1 in each row."""
    ranked = scores.sort(dim=1, descending=True).values
    count = torch.arange(1, scores.shape[1] + 1)
    total = ranked.cumsum(dim=1)  # the sum of the k largest, for k = 1 to K
    support = (1 + count * ranked > total).sum(dim=1, keepdim=True)  # how many keys keep a weight
    tau = (total.gather(1, support - 1) - 1) / support
    return (scores - tau).clamp(min=0)


def straight_through(scores: Tensor, drawn: Tensor) -> Tensor:
    """Make hard weights that learn: scores (Q, K), drawn (Q,) the index of the key drawn for each query -> (Q, K).

    The value is 1 at the drawn key and 0 elsewhere; the gradient with respect to the scores is that of their softmax.
    """
    p = scores.softmax(dim=1)
    one_hot = F.one_hot(drawn, scores.shape[1]).to(scores.dtype)
    return one_hot + (p - p.detach())


def _draw_local(draw: Draw) -> Inputs:
    """Windows of several widths, since for D = 2 sigma is its own square; and centers near both ends."""
    queries, keys, window = draw.integer(3, 4), draw.integer(10, 12), (3, 4, 2)[draw.turn]
    center = torch.tensor([draw.integer(0, 1), keys - 1, *(draw.integer(3, keys - 4) for _ in range(queries - 2))])
    return draw.normal(queries, keys), center, window


def _draw_drawn(draw: Draw) -> Inputs:
    queries, keys = draw.integer(3, 4), draw.integer(5, 6)
    scores = draw.normal(queries, keys)
    best = scores.argmax(dim=1)
    others = [[key for key in range(keys - 1) if key != place] for place in best]
    drawn = torch.tensor([draw.choice(each) for each in others])  # never the best key, nor the last
    return scores.requires_grad_(), drawn


def _is_cut_softmax(given: Tensor, scores: Tensor) -> bool:
    """Whether the weights that are left are those of a softmax, scaled so that each row sums to 1."""
    kept = scores.softmax(dim=1) * (given > 0)
    return difference(given, kept / kept.sum(dim=1, keepdim=True)) is None


def _upstream(weights: Tensor) -> Tensor:
    """A fixed gradient from above, different for every weight, so that no sum over a row hides it."""
    return torch.arange(weights.numel(), dtype=weights.dtype).mul(1.7).sin().view(weights.shape)


def _gradient(weights: Tensor) -> Tensor | None:
    """What `_upstream` sends back through the weights to their scores; None where nothing flows."""
    if weights.grad_fn is None:
        return None
    leaves, seen, waiting = [], set(), [weights.grad_fn]
    while waiting:
        step = waiting.pop()
        if step in seen:
            continue
        seen.add(step)
        if hasattr(step, "variable"):
            leaves.append(step.variable)
        waiting += [following for following, _ in step.next_functions if following is not None]
    scores = [leaf for leaf in leaves if leaf.shape == weights.shape]
    if len(scores) != 1:
        return None
    return torch.autograd.grad(weights, scores[0], _upstream(weights), retain_graph=True, allow_unused=True)[0]


def _with_gradient(given: Any, expected: Tensor, axes: Sequence[str] = (), parts: Sequence[str] = ()) -> str | None:
    """How weights differ from others in their values, or in the gradient of their scores."""
    wrong = difference(given, expected, axes)
    if wrong or not isinstance(given, Tensor):
        return wrong
    ours, theirs = _gradient(expected), _gradient(given)
    if theirs is None:
        return None if ours is None else "The values are right, but no gradient flows from your weights to the scores."
    wrong = difference(theirs, ours, axes)
    return wrong and f"The values are right, but the gradient with respect to the scores is not. {wrong}"


TASKS = (
    Task(
        biased_general_score,
        lambda draw: draw.normals("2 Q q", "2 K k", ("k q", 0.5), "k", Q=(2, 3), q=(3, 4), K=(4, 5), k=(5, 6)),
        mistakes={
            "left the bias out": lambda q, k, w, b: F.linear(q, w) @ k.mT,
            "added the bias to the keys": lambda q, k, w, b: F.linear(q, w) @ (k + b).mT,
            "added the bias to the score": lambda q, k, w, b: F.linear(q, w) @ k.mT + b.sum(),
            "added the bias twice": lambda q, k, w, b: F.linear(q, w, 2 * b) @ k.mT,
            "keys before queries": lambda q, k, w, b: (F.linear(q, w, b) @ k.mT).mT,
            "the weights": lambda q, k, w, b: (F.linear(q, w, b) @ k.mT).softmax(dim=2),
            "tanh of the score": lambda q, k, w, b: torch.tanh(F.linear(q, w, b) @ k.mT),
            "scaled": lambda q, k, w, b: F.linear(q, w, b) @ k.mT / k.shape[2] ** 0.5,
        },
    ),
    Task(
        fixed_weights,
        lambda draw: draw.normals("2 Q d", "2 K d", Q=(2, 3), K=(4, 5), d=(7, 9)),
        mistakes={
            "both faults": lambda q, k: (q @ k.mT / k.shape[1] ** 0.5).softmax(dim=1),
            "softmax over the queries": lambda q, k: (q @ k.mT / k.shape[2] ** 0.5).softmax(dim=1),
            "scale from the number of keys": lambda q, k: (q @ k.mT / k.shape[1] ** 0.5).softmax(dim=2),
            "root of the number of queries": lambda q, k: (q @ k.mT / q.shape[1] ** 0.5).softmax(dim=2),
            "softmax twice": lambda q, k: (q @ k.mT / k.shape[2] ** 0.5).softmax(dim=2).softmax(dim=2),
            "not scaled": lambda q, k: (q @ k.mT).softmax(dim=2),
            "divided by d": lambda q, k: (q @ k.mT / k.shape[2]).softmax(dim=2),
            "multiplied": lambda q, k: (q @ k.mT * k.shape[2] ** 0.5).softmax(dim=2),
            "scaled the weights after": lambda q, k: (q @ k.mT).softmax(dim=2) / k.shape[2] ** 0.5,
        },
    ),
    Task(
        concat_score,
        lambda draw: draw.normals(
            *("2 Q 3", "2 K k", ("w 3", 0.6), ("w k", 0.6), ("w", 0.5), "w"),  # no two sizes are equal
            Q=(4, 5),
            K=(6, 7),
            k=(8, 9),
            w=(10, 11),
        ),
        mistakes={
            "forgot the tanh": {"torch.tanh": ""},
            "forgot the bias": lambda q, k, u, v, b, w: concat_score(q, k, u, v, 0 * b, w),
            "keys first": {"[query[": "[keys[:, None].expand(size), query[", ", keys[:, None].expand(size)]": "]"},
            "tanh of the whole score": {"torch.tanh(F": "torch.tanh((F", "vector": "vector)"},
            "tanh of each part": lambda q, k, u, v, b, w: (
                (torch.tanh(q @ u.T)[:, :, None] + torch.tanh(F.linear(k, v, b))[:, None]) @ w
            ),
            "without the vector w": lambda q, k, u, v, b, w: concat_score(q, k, u, v, b, torch.ones_like(w)),
            "used a ReLU": {"torch.tanh": "F.relu"},
            "left the query out": lambda q, k, u, v, b, w: concat_score(q, k, 0 * u, v, b, w),
            "added the bias twice": lambda q, k, u, v, b, w: concat_score(q, k, u, v, 2 * b, w),
            "a bias after the tanh": lambda q, k, u, v, b, w: concat_score(q, k, u, v, 0 * b, w) + b @ w,
        },
    ),
    Task(
        local_weights,
        _draw_local,
        mistakes={
            "brought back to a sum of 1": lambda *inputs: F.normalize(local_weights(*inputs), p=1, dim=1),
            "all keys": {".masked_fill(distance > window, -torch.inf)": ""},
            "0 outside the window": {"-torch.inf": "0"},
            "left out the Gaussian": {" * torch.exp(-(distance**2) / (2 * sigma**2))": ""},
            "took sigma = D": {"window / 2": "window"},
            "did not square sigma": {"sigma**2": "sigma"},
            "forgot the 2": {"2 * sigma": "sigma"},
            "without the edge of the window": {"> window": ">= window"},
            "D as the whole width": {"> window": "> window / 2"},
            "counted from 1": {"center[:, None]": "(center[:, None] - 1)"},
            "softmax over all, then cut": {
                ".masked_fill(distance > window, -torch.inf).softmax(dim=1)": ".softmax(dim=1) * (distance <= window)"
            },
        },
    ),
    Task(
        sparsemax_weights,
        # Scores below 1, so that an answer that counts the keys from 0 still finds one that keeps a weight.
        lambda draw: (draw.normal(draw.integer(9, 10), draw.integer(6, 8), mean=-1.5),),
        mistakes={
            "the softmax": lambda e: e.softmax(dim=1),
            "tau from all keys": {"1 + count * ranked > total": "total == total"},
            "counted from 0": {"count * ranked": "(count - 1) * ranked"},
            "forgot the 1": {"support - 1) - 1": "support - 1)"},
            "cut and divided": lambda e: F.normalize(e.clamp(min=0), p=1, dim=1),
            "the best key alone": lambda e: F.one_hot(e.argmax(dim=1), e.shape[1]).to(e.dtype),
            "not cut at 0": {".clamp(min=0)": ""},
            "in sorted order": lambda e: sparsemax_weights(e).sort(dim=1, descending=True).values,
            "over the queries": lambda e: sparsemax_weights(e.T).T,
            "one key too few": {"    tau": "    support = (support - 1).clamp(min=1)\n    tau"},
            "small weights of a softmax cut": Shown(
                lambda e: F.normalize(e.softmax(dim=1) * (e.softmax(dim=1) > 0.1), p=1, dim=1), _is_cut_softmax
            ),
        },
    ),
    Task(
        straight_through,
        _draw_drawn,
        mistakes={
            "no gradient": {" + (p - p.detach())": ""},
            "nothing detached": {"p.detach()": "p"},
            "wrong sign": {"p - p.detach()": "p.detach() - p"},
            "added the softmax": {"(p - p.detach())": "p"},
            "the softmax": {"one_hot + (p - p.detach())": "p"},
            "p at the drawn key": {"+ (p - p.detach())": "* p"},
            "took the best key": {"drawn": "scores.argmax(dim=1)"},
            "gradient of the scores": {"p - p.detach()": "scores - scores.detach()"},
            "gradient of the drawn key alone": {"+ (p - p.detach())": "* (1 + p - p.detach())"},
        },
        compare=_with_gradient,
    ),
)
