"""Dot-product attention: every query weighs all keys, and takes the weighted mean of their values.

Vaswani et al. Attention Is All You Need. NeurIPS 2017, section 3.2.1. https://arxiv.org/abs/1706.03762
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(q k^T / sqrt(d)) v, with the weights in hand.

    Half precision is computed in float32 inside, as the fused kernels do, so that a large score stays finite.

    Args:
        query: (..., Q, d).
        key: (..., K, d).
        value: (..., K, dv).
        attn_mask: boolean, broadcastable to (..., Q, K); True means "may attend", as in torch's function of this
            name (and the opposite of `nn.MultiheadAttention`). A query with every key masked gets zero weights
            and a zero context.
        scale: what the scores are multiplied by; 1 / sqrt(d) unless given.

    Shape:
        context (..., Q, dv), weights (..., Q, K); the weights of a query sum to 1 over its keys.

    Raises:
        ValueError: if the shapes do not fit, or the mask is not boolean or does not broadcast to the weights.
    """
    _check_shapes(query, key, value)
    weights = attention_weights(query, key, attn_mask, scale)
    return weights @ value, weights


def attention_weights(
    query: Tensor, key: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """The weights alone: (..., Q, d), (..., K, d) -> (..., Q, K)."""
    _check_shapes(query, key, key)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    exact = torch.promote_types(query.dtype, torch.float32)
    scores = (query.to(exact) * scale) @ key.to(exact).transpose(-2, -1)  # (..., Q, K)
    attn_mask = check_attn_mask(attn_mask, scores.shape)
    return silence(close_masked(scores, attn_mask).softmax(dim=-1), attn_mask).to(query.dtype)


def fused_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The same context from torch's fused kernel, which never stores the (Q, K) weights.

    Arguments, masks and errors as in `scaled_dot_product_attention`.
    """
    _check_shapes(query, key, value)
    attn_mask = check_attn_mask(attn_mask, torch.Size([*query.shape[:-1], key.shape[-2]]))
    if attn_mask is None:
        return F.scaled_dot_product_attention(query, key, value)
    some_key = attn_mask.any(dim=-1, keepdim=True)  # (..., Q, 1)
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask | ~some_key)
    return context.masked_fill(~some_key, 0.0)


def check_attn_mask(attn_mask: Tensor | None, shape: torch.Size, name: str = "attn_mask") -> Tensor | None:
    """Refuse a mask that is not boolean or does not broadcast to the scores.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    if attn_mask is None:
        return None
    if attn_mask.dtype != torch.bool:
        raise ValueError(
            f"{name} must be boolean, True where a query may attend, but was given {attn_mask.dtype}; "
            f"use {name} > 0 if it holds ones and zeros, {name} == 0 if it holds zeros and -inf."
        )
    given = attn_mask.shape
    padded = (1,) * (len(shape) - len(given)) + tuple(given)
    if len(padded) != len(shape) or any(have not in (1, need) for have, need in zip(padded, shape, strict=True)):
        raise ValueError(
            f"{name} has shape {tuple(given)}, but the scores have {tuple(shape)}: the last two axes are queries "
            f"and keys; give {tuple(shape[-2:])}, or a shape that broadcasts to {tuple(shape)}."
        )
    return attn_mask


def close_masked(scores: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Scores with -inf at masked keys; a row without any key stays open, so that its softmax has no 0 / 0."""
    if attn_mask is None:
        return scores
    return scores.masked_fill(~attn_mask & attn_mask.any(dim=-1, keepdim=True), -torch.inf)


def silence(weights: Tensor, attn_mask: Tensor | None) -> Tensor:
    """Weights with 0 at masked keys: this is what empties a row without any key."""
    return weights if attn_mask is None else weights.masked_fill(~attn_mask, 0.0)


def _check_shapes(query: Tensor, key: Tensor, value: Tensor) -> None:
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise ValueError(f"Attention needs query (..., Q, d), key (..., K, d), value (..., K, dv); was given {shapes}.")
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(
            f"A dot product needs queries and keys of one width, but was given {shapes}; project one of them to "
            f"{query.shape[-1]} with a linear layer."
        )
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"Every key needs its value, but there are {key.shape[-2]} keys and {value.shape[-2]} values: {shapes}."
        )
