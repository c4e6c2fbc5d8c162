"""Alignments: how scores become weights, in the six ways of the general attention model.

Brauwers, Frasincar. A General Survey on Attention Mechanisms in Deep Learning. IEEE TKDE 35(4), 2023, section 3.2.2.
https://arxiv.org/abs/2203.14263 (softmax, sigmoid); sparsemax: see `sparsemax.py`.
Xu et al. Show, Attend and Tell. ICML 2015, section 4.1. https://arxiv.org/abs/1502.03044 (hard)
Luong, Pham, Manning. Effective Approaches to Attention-based Neural Machine Translation. EMNLP 2015, section 3.2.
https://arxiv.org/abs/1508.04025 (local)
Shen et al. Reinforced Self-Attention Network. IJCAI 2018, section 3. https://arxiv.org/abs/1801.10296 (reinforced)
"""

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .dot_product import check_attn_mask, close_masked, silence
from .sparsemax import sparsemax


def align(name: str, scores: Tensor, attn_mask: Tensor | None = None, **options: Any) -> Tensor:
    """Turn scores into weights over the last axis.

    Half precision is computed in float32 inside; infinite half scores count as the largest finite ones.

    Args:
        name: one of
            "softmax": every key gets some weight, and they sum to 1.
            "sparsemax": the weights sum to 1, and weak keys get exactly 0.
            "sigmoid": each key is judged alone, in (0, 1); the sum is free.
            "hard": one key, drawn with the softmax's probabilities, gets the weight 1. See below for its training.
            "local": a softmax over the keys near a center.
            "reinforced": a softmax over the keys that an agent keeps.
        scores: (..., K), such as (N, Q, K).
        attn_mask: boolean, broadcastable to the scores; True means "may attend". A row with every key masked gets
            zero weights.
        **options: those of the alignment:
            hard: `generator` (torch.Generator), and `estimator`: "straight_through" (the default; the gradient is
                that of the softmax) or "reinforce".
            local: `center` (tensor of the scores' shape without the last axis, counted from 0), `window` (D: the keys
                at most D from the center take part) and `gaussian` (whether to multiply the weights by
                exp(-distance^2 / (2 sigma^2)) with sigma = D / 2; they then sum to less than 1, and the center gets a
                gradient). With `shape=(H, W)` the K = H * W keys are a picture's positions, row by row, the center has
                one more axis for (row, column), and the window is a square.
            reinforced: `keep` (boolean, broadcastable to the scores; True where the agent keeps the key).

    Returns:
        weights of the scores' shape.

    Raises:
        ValueError: if the name or an option is unknown, an option is missing, or a shape or dtype does not fit.

    Example:
        REINFORCE. With estimator="reinforce" the single 1 carries the gradient of log p(drawn key), so that its sum
        over the keys is the score-function term. The context is made without a gradient through the draw:

        >>> weights = align("hard", scores, estimator="reinforce")              # (N, Q, K)
        >>> losses = task_loss(weights.detach() @ values)                       # (N, Q)
        >>> advantage = losses.detach() - baseline
        >>> (losses + advantage * weights.sum(dim=-1)).mean().backward()
    """
    function = ALIGNMENTS[check_alignment(name, options)]
    if missing := [o for o, p in _options(function).items() if p.default is p.empty and options.get(o) is None]:
        raise ValueError(f"The alignment {name!r} needs {' and '.join(missing)}: {_usage(name)}.")
    if scores.dim() == 0 or scores.shape[-1] == 0 or not scores.is_floating_point():
        raise ValueError(
            f"align needs scores of floating point with at least one key on the last axis, (..., K), but was given "
            f"{scores.dtype} of shape {tuple(scores.shape)}."
        )
    attn_mask = check_attn_mask(attn_mask, scores.shape)
    if torch.finfo(scores.dtype).bits >= 32:
        return function(scores, attn_mask, **options)
    limits = torch.finfo(scores.dtype)
    return function(scores.float().clamp(limits.min, limits.max), attn_mask, **options).to(scores.dtype)


def check_alignment(name: str, options: dict[str, Any]) -> str:
    """Refuse a name that is no alignment, and options that are not its own; return the name.

    Raises:
        ValueError: suggests the nearest name, or lists the options that belong.
    """
    if name not in ALIGNMENTS:
        near = difflib.get_close_matches(name, ALIGNMENTS, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"There is no alignment {name!r}; {meant}The alignments are {', '.join(ALIGNMENTS)}.")
    for option in options:
        if option not in _options(ALIGNMENTS[name]):
            raise ValueError(f"The alignment {name!r} has no option {option!r}: {_usage(name)}.")
    return name


def _softmax(scores: Tensor, attn_mask: Tensor | None) -> Tensor:
    return silence(close_masked(scores, attn_mask).softmax(dim=-1), attn_mask)


def _sparsemax(scores: Tensor, attn_mask: Tensor | None) -> Tensor:
    return silence(sparsemax(close_masked(scores, attn_mask)), attn_mask)


def _sigmoid(scores: Tensor, attn_mask: Tensor | None) -> Tensor:
    return silence(torch.sigmoid(scores), attn_mask)


def _hard(
    scores: Tensor,
    attn_mask: Tensor | None,
    generator: torch.Generator | None = None,
    estimator: str = "straight_through",
) -> Tensor:
    if estimator not in ("straight_through", "reinforce"):
        raise ValueError(f'The estimator of "hard" is "straight_through" or "reinforce", but was given {estimator!r}.')
    log_p = close_masked(scores, attn_mask).log_softmax(dim=-1)  # (..., K)
    rows = log_p.detach().exp().reshape(-1, scores.shape[-1])
    drawn = torch.multinomial(rows, 1, generator=generator).view(*scores.shape[:-1], 1)
    one_hot = torch.zeros_like(scores).scatter(-1, drawn, 1.0)
    if estimator == "straight_through":
        p = log_p.exp()
        return silence(one_hot + (p - p.detach()), attn_mask)  # the value of the draw, the gradient of the softmax
    term = log_p.gather(-1, drawn)  # (..., 1): log p of the drawn key
    return silence(one_hot * (1 + (term - term.detach())), attn_mask)  # the value of the draw, the gradient of log p


def _local(
    scores: Tensor,
    attn_mask: Tensor | None,
    center: Tensor,
    window: float,
    gaussian: bool = False,
    shape: tuple[int, int] | None = None,
) -> Tensor:
    places = _places(scores, center, window, gaussian, shape)  # (K, axes), axes = 1 on a line, 2 on a picture
    centers = center.to(scores).unsqueeze(-1) if shape is None else center.to(scores)  # (..., axes)
    offset = places - centers.unsqueeze(-2)  # (..., K, axes)
    inside = (offset.abs() <= window).all(dim=-1)
    weights = _softmax(scores, inside if attn_mask is None else inside & attn_mask)
    if not gaussian:
        return weights
    sigma = window / 2
    return weights * torch.exp(-offset.square().sum(dim=-1) / (2 * sigma**2))


def _places(scores: Tensor, center: Tensor, window: float, gaussian: bool, shape: tuple[int, int] | None) -> Tensor:
    """The coordinates of the keys, once the options of "local" are known to fit."""
    keys, expected = scores.shape[-1], (*scores.shape[:-1], *(() if shape is None else (2,)))
    if window < 0 or (gaussian and window == 0):
        raise ValueError(f"window={window} is too small: D must be at least 0, and above 0 with gaussian=True.")
    if shape is not None and math.prod(shape) != keys:
        raise ValueError(f"shape={tuple(shape)} has {math.prod(shape)} positions, but the scores have {keys} keys.")
    given = (1,) * (len(expected) - center.dim()) + tuple(center.shape)
    fits = len(given) == len(expected) and all(have in (1, need) for have, need in zip(given, expected, strict=True))
    if not fits or (shape is not None and given[-1] != 2):
        raise ValueError(
            f"center has shape {tuple(center.shape)}, but scores {tuple(scores.shape)} need {expected}: one "
            f"{'position' if shape is None else '(row, column)'} a row of scores."
        )
    extents = (keys,) if shape is None else shape
    axes = [torch.arange(extent, device=scores.device, dtype=scores.dtype) for extent in extents]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def _reinforced(scores: Tensor, attn_mask: Tensor | None, keep: Tensor) -> Tensor:
    check_attn_mask(keep, scores.shape, name="keep")
    return _softmax(scores, keep if attn_mask is None else keep & attn_mask)


ALIGNMENTS: dict[str, Callable[..., Tensor]] = {
    "softmax": _softmax,
    "sparsemax": _sparsemax,
    "sigmoid": _sigmoid,
    "hard": _hard,
    "local": _local,
    "reinforced": _reinforced,
}


def _options(function: Callable[..., Tensor]) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(function).parameters.items())[2:])  # after scores and attn_mask


def _usage(name: str) -> str:
    options = [o if p.default is p.empty else f"{o}={p.default!r}" for o, p in _options(ALIGNMENTS[name]).items()]
    return f"its options are {', '.join(options)}" if options else "it has none"
