"""The exercises of lesson 4.4: scores, alignments, and what flows back through them."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.compare import difference
from ...check.engine import Draw, Exercise, Inputs, Mistake


def biased_general_score(query: Tensor, keys: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Score each key for each query by k^T (W q + b).

    query (N, Q, dq), keys (N, K, dk), weight (dk, dq), bias (dk,) -> scores (N, Q, K).
    """
    turned = F.linear(query, weight, bias)  # (N, Q, dk): the query in the keys' space
    return turned @ keys.transpose(1, 2)


def mended_weights(query: Tensor, keys: Tensor) -> Tensor:
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


def _draw_general(draw: Draw) -> Inputs:
    width_q, width_k = draw.integer(3, 4), draw.integer(5, 6)
    return (
        draw.normal(2, draw.integer(2, 3), width_q),
        draw.normal(2, draw.integer(4, 5), width_k),
        draw.normal(width_k, width_q, std=0.5),
        draw.normal(width_k),
    )


def _draw_pair(draw: Draw) -> Inputs:
    width = draw.integer(7, 9)
    return draw.normal(2, draw.integer(2, 3), width), draw.normal(2, draw.integer(4, 5), width)


def _draw_concat(draw: Draw) -> Inputs:
    width_q, width_k, hidden = draw.integer(3, 4), draw.integer(5, 6), draw.integer(7, 8)
    return (
        draw.normal(2, draw.integer(2, 3), width_q),
        draw.normal(2, draw.integer(4, 5), width_k),
        draw.normal(hidden, width_q, std=0.6),
        draw.normal(hidden, width_k, std=0.6),
        draw.normal(hidden, std=0.5),
        draw.normal(hidden),
    )


def _draw_local(draw: Draw) -> Inputs:
    queries, keys, window = draw.integer(3, 4), draw.integer(9, 11), draw.integer(2, 3)
    center = torch.tensor([draw.integer(window, keys - 1 - window) for _ in range(queries)])
    return draw.normal(queries, keys), center, window


def _draw_scores(draw: Draw) -> Inputs:
    return (draw.normal(draw.integer(3, 4), draw.integer(6, 8)),)


def _draw_drawn(draw: Draw) -> Inputs:
    queries, keys = draw.integer(3, 4), draw.integer(5, 6)
    scores = draw.normal(queries, keys)
    best = scores.argmax(dim=1)
    drawn = torch.stack([(place + draw.integer(1, keys - 1)) % keys for place in best])  # never the best key
    return scores.requires_grad_(), drawn


def _pairs(query: Tensor, keys: Tensor, keys_first: bool = False) -> Tensor:
    size = (-1, query.shape[1], keys.shape[1], -1)
    both = [query[:, :, None].expand(size), keys[:, None].expand(size)]
    return torch.cat(both[::-1] if keys_first else both, dim=3)


def _sparse(scores: Tensor, count_of: Callable[[Tensor, Tensor, Tensor], Tensor], mass: float = 1) -> Tensor:
    """max(score - tau, 0) where tau comes from as many of the largest scores as `count_of` says."""
    ranked = scores.sort(dim=1, descending=True).values
    count, total = torch.arange(1, scores.shape[1] + 1), ranked.cumsum(dim=1)
    support = count_of(count, ranked, total).sum(dim=1, keepdim=True)
    return (scores - (total.gather(1, support - 1) - mass) / support).clamp(min=0)


def _gauss(
    scores: Tensor,
    center: Tensor,
    window: int,
    twice_variance: float,
    reach: float | None = None,
    cut_late: bool = False,
) -> Tensor:
    distance = (torch.arange(scores.shape[1]) - center[:, None]).abs()
    inside = distance <= (window if reach is None else reach)
    weights = scores.softmax(dim=1) * inside if cut_late else scores.masked_fill(~inside, -torch.inf).softmax(dim=1)
    return weights * torch.exp(-(distance**2) / twice_variance)


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


def _refuse_straight_through(given: object, scores: Tensor, drawn: Tensor) -> str | None:
    right = straight_through(scores, drawn)
    wrong = difference(given, right, ("query", "key"))
    if wrong or not isinstance(given, Tensor):
        return wrong
    flows = _gradient(given)
    if flows is None:
        return "The values are right, but no gradient flows from your weights to the scores."
    wrong = difference(flows, _gradient(right), ("query", "key"))
    return wrong and f"The values are right, but the gradient with respect to the scores is not. {wrong}"


def _hard_mistake(message: str, wrong: Callable[[Tensor, Tensor], Tensor]) -> Mistake:
    """A mistake that a result shows if both its values and its gradient are those of `wrong`."""

    def shows(given: Tensor, scores: Tensor, drawn: Tensor) -> bool:
        expected = wrong(scores, drawn)
        if difference(given, expected) is not None:
            return False
        ours, theirs = _gradient(expected), _gradient(given)
        if ours is None or theirs is None:
            return ours is theirs
        return difference(theirs, ours) is None

    return Mistake(message, wrong, shows)


def _one_hot(scores: Tensor, drawn: Tensor) -> Tensor:
    return F.one_hot(drawn, scores.shape[1]).to(scores.dtype)


BIASED_GENERAL = Exercise(
    lesson="4.4",
    official=biased_general_score,
    draw=_draw_general,
    minutes=5,
    difficulty=1,
    axes=("image", "query", "key"),
    hints=(
        "W has dk rows and dq columns: it turns a query into a vector of a key's width. The bias has that width too.",
        "`F.linear(query, weight, bias)` is W q + b for every query, of shape (N, Q, dk).",
        "The dot product of each turned query with each key is `turned @ keys.transpose(1, 2)`.",
    ),
    takeaway="The bias meets the key: k^T b is a part of the score that does not depend on the query, so b can make "
    "some keys stand out for every query.",
    mistakes=(
        Mistake("You left the bias out: this is the general score.", lambda q, k, w, b: F.linear(q, w) @ k.mT),
        Mistake(
            "You added the bias to the keys. It belongs to the turned query: k^T (W q + b).",
            lambda q, k, w, b: F.linear(q, w) @ (k + b).mT,
        ),
        Mistake(
            "You added the bias to the score as one number. It would raise all keys alike, and a softmax would cancel "
            "it; b has the width of a key and is added before the dot product.",
            lambda q, k, w, b: F.linear(q, w) @ k.mT + b.sum(),
        ),
        Mistake(
            "Your scores are (N, K, Q); queries come first: (N, Q, K).",
            lambda q, k, w, b: (F.linear(q, w, b) @ k.mT).mT,
        ),
        Mistake(
            "You went on to the weights; return the scores, before any softmax.",
            lambda q, k, w, b: (F.linear(q, w, b) @ k.mT).softmax(dim=2),
        ),
        Mistake(
            "You put the score through tanh; that is the activated general score, and its bias is a number.",
            lambda q, k, w, b: torch.tanh(F.linear(q, w, b) @ k.mT),
        ),
        Mistake(
            "You divided by the root of dk; the general scores are not scaled, W can learn any scale.",
            lambda q, k, w, b: F.linear(q, w, b) @ k.mT / k.shape[2] ** 0.5,
        ),
    ),
)

MENDED = Exercise(
    lesson="4.4",
    official=mended_weights,
    draw=_draw_pair,
    minutes=6,
    difficulty=2,
    axes=("image", "query", "key"),
    hints=(
        "There are two faults. Ask of each number what it counts, and of each `dim` which axis it is.",
        "The scores are (N, Q, K). Whose weights should sum to 1: those of a query over its keys, so which axis?",
        "`keys` is (N, K, d). The scale belongs to the width of one key, d, and not to the number of keys.",
    ),
    takeaway="d_k is the width of each key vector, and the softmax runs over the keys of a query. Both faults keep "
    "every shape right, so no error tells you.",
    mistakes=(
        Mistake(
            "Both faults are still there: the scale is taken from the number of keys, and the softmax runs over the "
            "queries.",
            lambda q, k: (q @ k.mT / k.shape[1] ** 0.5).softmax(dim=1),
        ),
        Mistake(
            "The softmax still runs over the queries, axis 1; the weights of each query should sum to 1 over its keys.",
            lambda q, k: (q @ k.mT / k.shape[2] ** 0.5).softmax(dim=1),
        ),
        Mistake(
            "The scale is still the root of K, how many keys there are; it should be the root of d, the width of each.",
            lambda q, k: (q @ k.mT / k.shape[1] ** 0.5).softmax(dim=2),
        ),
        Mistake("The scale is gone; divide the scores by the root of d.", lambda q, k: (q @ k.mT).softmax(dim=2)),
        Mistake("You divided by d; it is the root of d.", lambda q, k: (q @ k.mT / k.shape[2]).softmax(dim=2)),
        Mistake(
            "You multiplied by the root of d; divide by it.",
            lambda q, k: (q @ k.mT * k.shape[2] ** 0.5).softmax(dim=2),
        ),
        Mistake(
            "You scaled the weights after the softmax; scale the scores before it.",
            lambda q, k: (q @ k.mT).softmax(dim=2) / k.shape[2] ** 0.5,
        ),
    ),
)

CONCAT = Exercise(
    lesson="4.4",
    official=concat_score,
    draw=_draw_concat,
    minutes=8,
    difficulty=2,
    axes=("image", "query", "key"),
    hints=(
        "W [q; k] with W = [W_1 W_2] is W_1 q + W_2 k: you may stack first, or project first and add.",
        "Pairs of every query with every key need an axis each: `query[:, :, None]` and `keys[:, None]`.",
        "`F.linear(query, query_weight)[:, :, None] + F.linear(keys, key_weight)[:, None] + bias` is (N, Q, K, dw); "
        "then tanh, then `@ vector`.",
    ),
    takeaway="Additive and concat are one function. Additive projects each query and each key once; concat does it "
    "again for every pair, and pays for that.",
    mistakes=(
        Mistake(
            "You forgot the tanh. Without it the query's part is the same for every key, and a softmax cancels it.",
            lambda q, k, u, v, b, w: F.linear(_pairs(q, k), torch.cat([u, v], 1), b) @ w,
        ),
        Mistake(
            "You forgot the bias.",
            lambda q, k, u, v, b, w: torch.tanh(F.linear(_pairs(q, k), torch.cat([u, v], 1))) @ w,
        ),
        Mistake(
            "The order does not match: [q; k] needs [W_1 W_2], queries first in both.",
            lambda q, k, u, v, b, w: torch.tanh(F.linear(_pairs(q, k, keys_first=True), torch.cat([u, v], 1), b)) @ w,
        ),
        Mistake(
            "You put tanh round the whole; it comes before the vector w.",
            lambda q, k, u, v, b, w: torch.tanh(F.linear(_pairs(q, k), torch.cat([u, v], 1), b) @ w),
        ),
        Mistake(
            "You summed over the hidden units; weigh them by the vector w.",
            lambda q, k, u, v, b, w: torch.tanh(F.linear(_pairs(q, k), torch.cat([u, v], 1), b)).sum(3),
        ),
        Mistake(
            "You used a ReLU; the activation here is tanh.",
            lambda q, k, u, v, b, w: F.relu(F.linear(_pairs(q, k), torch.cat([u, v], 1), b)) @ w,
        ),
        Mistake(
            "You left the query out: every query would give the keys the same scores.",
            lambda q, k, u, v, b, w: (torch.tanh(F.linear(k, v, b)) @ w)[:, None].expand(-1, q.shape[1], -1),
        ),
        Mistake(
            "You added the bias twice, once with each matrix.",
            lambda q, k, u, v, b, w: torch.tanh(F.linear(_pairs(q, k), torch.cat([u, v], 1), 2 * b)) @ w,
        ),
    ),
)

LOCAL = Exercise(
    lesson="4.4",
    official=local_weights,
    draw=_draw_local,
    minutes=8,
    difficulty=2,
    axes=("query", "key"),
    hints=(
        "First find the distance of every key's index from the center of every query: (Q, K).",
        "Scores outside the window become -inf before the softmax: `masked_fill(distance > window, -torch.inf)`.",
        "Multiply by `torch.exp(-(distance**2) / (2 * sigma**2))` with sigma = window / 2, and leave the product so.",
    ),
    takeaway="The window itself comes from comparisons and has no gradient; through the Gaussian the center gets one, "
    "and so it can be learned.",
    mistakes=(
        Mistake(
            "You brought the product back to a sum of 1; Luong's Gaussian leaves it below 1.",
            lambda e, p, d: F.normalize(_gauss(e, p, d, d**2 / 2), p=1, dim=1),
        ),
        Mistake(
            "You took all keys; the softmax runs over those in the window only.",
            lambda e, p, d: _gauss(e, p, d, d**2 / 2, reach=math.inf),
        ),
        Mistake("You left out the Gaussian.", lambda e, p, d: _gauss(e, p, d, math.inf)),
        Mistake("You took sigma = D; it is D / 2.", lambda e, p, d: _gauss(e, p, d, 2 * d**2)),
        Mistake("You forgot the 2 in 2 sigma^2.", lambda e, p, d: _gauss(e, p, d, d**2 / 4)),
        Mistake(
            "You left out the keys at a distance of exactly D; the window includes them.",
            lambda e, p, d: _gauss(e, p, d, d**2 / 2, reach=d - 0.5),
        ),
        Mistake(
            "You counted the keys from 1; the center counts from 0.",
            lambda e, p, d: _gauss(e, p - 1, d, d**2 / 2),
        ),
        Mistake(
            "You took the softmax over all keys and cut it afterwards; cut the scores first, so that the keys in the "
            "window share the whole weight before the Gaussian.",
            lambda e, p, d: _gauss(e, p, d, d**2 / 2, cut_late=True),
        ),
    ),
)

SPARSEMAX = Exercise(
    lesson="4.4",
    official=sparsemax_weights,
    draw=_draw_scores,
    minutes=10,
    difficulty=3,
    axes=("query", "key"),
    hints=(
        "If you knew how many keys k keep a weight, tau would follow: (sum of the k largest scores - 1) / k.",
        "Sort each row, largest first. The k-th keeps a weight if 1 + k times it is above the sum of the first k.",
        "`cumsum` gives those sums for all k at once; count where the condition holds, `gather` the sum at that place.",
    ),
    takeaway="This is the nearest point of the simplex: all weak keys get exactly 0, so no gradient reaches them. "
    '`align("sparsemax", scores)` finds the same tau without sorting.',
    mistakes=(
        Mistake("This is the softmax: it gives every key a weight.", lambda e: e.softmax(dim=1)),
        Mistake(
            "You took tau from all keys, also from those that end with 0; only the keys that keep a weight count.",
            lambda e: _sparse(e, lambda count, ranked, total: torch.ones_like(ranked, dtype=torch.bool)),
        ),
        Mistake(
            "You forgot the 1 in tau: the weights would not sum to 1.",
            lambda e: _sparse(e, lambda count, ranked, total: 1 + count * ranked > total, mass=0),
        ),
        Mistake(
            "You cut negative scores and divided by the sum; sparsemax subtracts a threshold and divides by nothing.",
            lambda e: F.normalize(e.clamp(min=0), p=1, dim=1),
        ),
        Mistake(
            "You made the best key 1 and the others 0; sparsemax lets near rivals share.",
            lambda e: F.one_hot(e.argmax(dim=1), e.shape[1]).to(e.dtype),
        ),
        Mistake(
            "You forgot to cut at 0: scores below tau became negative weights.",
            lambda e: (
                e - (e - sparsemax_weights(e)).where(sparsemax_weights(e) > 0, torch.inf).amin(dim=1, keepdim=True)
            ),
        ),
        Mistake(
            "You kept the order of the sorted scores; each weight belongs at its own key's place.",
            lambda e: sparsemax_weights(e).sort(dim=1, descending=True).values,
        ),
        Mistake(
            "You worked over the queries, axis 0; each query's weights sum to 1 over its keys.",
            lambda e: sparsemax_weights(e.T).T,
        ),
    ),
)

STRAIGHT_THROUGH = Exercise(
    lesson="4.4",
    official=straight_through,
    draw=_draw_drawn,
    minutes=8,
    difficulty=3,
    axes=("query", "key"),
    hints=(
        "The value must come from the one-hot vector, which has no gradient; the gradient from p = softmax(scores).",
        "`p.detach()` has the value of p and no gradient. What is p - p.detach(): its value, its gradient?",
        "one_hot + (p - p.detach()): the bracket is 0 in value, and carries the whole gradient of the softmax.",
    ),
    takeaway="Forward hard, backward soft. The gradient is that of another function, so it is biased; it is also "
    "simple, and varies little.",
    refusal=_refuse_straight_through,
    mistakes=(
        _hard_mistake("Your weights are right, but nothing flows back: a one-hot vector has no gradient.", _one_hot),
        _hard_mistake(
            "Both p carry a gradient, and they cancel; detach the one that you subtract.",
            lambda e, drawn: _one_hot(e, drawn) + (e.softmax(1) - e.softmax(1)),
        ),
        _hard_mistake(
            "The gradient has the wrong sign: add p, and subtract p.detach().",
            lambda e, drawn: _one_hot(e, drawn) + (e.softmax(1).detach() - e.softmax(1)),
        ),
        _hard_mistake("This is the softmax itself; forward, only the drawn key counts.", lambda e, drawn: e.softmax(1)),
        _hard_mistake(
            "You kept p at the drawn key; its weight is 1, whatever its chance was.",
            lambda e, drawn: _one_hot(e, drawn) * e.softmax(1),
        ),
        _hard_mistake(
            "You took the best key; take the one that was drawn.",
            lambda e, drawn: straight_through(e, e.argmax(dim=1)),
        ),
        _hard_mistake(
            "You let the gradient of the scores themselves through; it should be that of their softmax.",
            lambda e, drawn: _one_hot(e, drawn) + (e - e.detach()),
        ),
        _hard_mistake(
            "Only the drawn key passes a gradient. In straight-through the gradient of every weight passes.",
            lambda e, drawn: _one_hot(e, drawn) * (1 + e.softmax(1) - e.softmax(1).detach()),
        ),
    ),
)

EXERCISES = (BIASED_GENERAL, MENDED, CONCAT, LOCAL, SPARSEMAX, STRAIGHT_THROUGH)
