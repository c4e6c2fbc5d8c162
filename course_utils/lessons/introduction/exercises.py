"""The exercises of lesson 4.1: softmax, masks, a context, fixed and dynamic masks, a port to fix."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Task, any_of


def share_out(scores: Tensor) -> Tensor:
    """Turn scores into weights by a softmax over the last axis: (N, n) -> (N, n), each row sums to 1.

    Use `torch.exp` and a sum, not a ready-made softmax.
    """
    powers = torch.exp(scores)
    return powers / powers.sum(dim=-1, keepdim=True)


def apply_both_masks(x: Tensor, channel_mask: Tensor, spatial_mask: Tensor) -> Tensor:
    """Apply a mask over channels and a mask over positions: x (N, C, H, W) -> (N, C, H, W).

    channel_mask (N, C) has one weight per channel, spatial_mask (N, H, W) one weight per position.
    """
    return x * channel_mask[:, :, None, None] * spatial_mask[:, None, :, :]


def context_vector(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Score by the scaled dot product, align by softmax, average the values.

    query (d,), keys (n, d), values (n, dv) -> context (dv,).
    """
    scores = keys @ query / query.shape[0] ** 0.5  # (n,)
    weights = scores.softmax(dim=0)  # (n,)
    return weights @ values  # (dv,)


def find_fixed_masks(masks: list[Tensor]) -> list[int]:
    """Find the blocks whose mask is the same for every picture: their places in the list.

    Each entry holds one block's masks of N pictures, (N, C, 1, 1) or (N, 1, H, W). Differences of less than 1e-4 are
    rounding.
    """
    return [place for place, mask in enumerate(masks) if (mask - mask[:1]).abs().max() < 1e-4]


def fix_self_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Self-attention as the port meant it: each query's weights over the keys sum to 1.

    query, key (N, C', M), value (N, C, M), M positions on the last axis -> (N, C, M): for each position the weighted
    mean of the values. As in the paper, the scores are not scaled.
    """
    scores = query.transpose(1, 2) @ key  # (N, queries, keys)
    weights = scores.softmax(dim=2)
    return value @ weights.transpose(1, 2)


def _draw_masks(draw: Draw) -> Inputs:
    side = draw.integer(3, 5)  # one length for all axes: a mask on a wrong axis raises no error
    x = draw.normal(side, side, side, side)
    return x, draw.uniform(side, side, low=0.1), draw.uniform(side, side, side, low=0.1)


def _draw_context(draw: Draw) -> Inputs:
    width, many = draw.integer(5, 7), draw.integer(8, 9)
    return draw.normal(width), draw.normal(many, width), draw.normal(many, draw.integer(3, 4))


def _draw_recorded(draw: Draw) -> Inputs:
    pictures, channels = draw.integer(4, 6), draw.integer(5, 7)
    moving = draw.uniform(pictures, channels, 1, 1, low=0.2, high=0.8)
    late = draw.uniform(1, 1, 6, 6, low=0.2, high=0.8).expand(pictures, 1, 6, 6).clone()
    late[-1] = draw.uniform(1, 6, 6, low=0.2, high=0.8)  # only the last picture has another mask
    alike = draw.uniform(pictures, 1, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1).clone()
    still = draw.uniform(1, channels, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1).clone()
    rounded, near = still.flip(1), still.roll(1, 1)
    rounded[1:, :2] += 7.5e-5  # still rounding
    near[-1, 0] += 1.5e-4  # no longer
    swapped = draw.uniform(1, channels, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1).clone()
    swapped[1] = swapped[0].flip(0)  # the same values, but of other channels
    half = torch.full((pictures, channels, 1, 1), 0.5)
    falling = draw.uniform(pictures, channels, 1, 1, low=0.2, high=0.8)
    falling[0] = 0.9  # no later mask has a weight above the first picture's
    found = draw.shuffled([moving, late, alike, still, rounded, near, swapped, half, falling])
    return (found,)


def _draw_port(draw: Draw) -> Inputs:
    pictures, positions, width, channels = 2, draw.integer(6, 8), draw.integer(2, 3), draw.integer(4, 5)
    query, key = (draw.normal(pictures, width, positions) for _ in range(2))
    return query, key, draw.normal(pictures, channels, positions)


def _below(masks: list[Tensor], difference: Callable[[Tensor], Tensor]) -> list[int]:
    """The places of the masks whose differences, computed in some way, are rounding."""
    return [place for place, mask in enumerate(masks) if difference(mask).abs().max() < 1e-4]


TASKS = (
    Task(
        share_out,
        lambda draw: (draw.normal(draw.integer(3, 4), draw.integer(5, 7), mean=0.5),),
        mistakes={
            "scores over their sum": lambda scores: scores / scores.sum(dim=-1, keepdim=True),
            "did not divide": torch.exp,
            "divided by the largest": lambda scores: torch.exp(scores - scores.amax(dim=-1, keepdim=True)),
            "divided inside": lambda scores: torch.exp(scores / scores.sum(dim=-1, keepdim=True)),
            "over the columns": lambda scores: scores.softmax(dim=0),
            "one budget for all rows": lambda scores: torch.exp(scores) / torch.exp(scores).sum(),
            "took a sigmoid": lambda scores: scores.sigmoid(),
            "all to the largest": lambda scores: (scores == scores.amax(dim=-1, keepdim=True)).to(scores.dtype),
            "the powers in the sum alone": lambda scores: scores / torch.exp(scores).sum(dim=-1, keepdim=True),
            "softmax twice": lambda scores: scores.softmax(dim=-1).softmax(dim=-1),
            "the logarithm": lambda scores: scores.log_softmax(dim=-1),
            "the smallest gets most": lambda scores: (-scores).softmax(dim=-1),
        },
    ),
    Task(
        apply_both_masks,
        _draw_masks,
        mistakes={
            "forgot the spatial mask": lambda x, channel, spatial: x * channel[:, :, None, None],
            "forgot the channel mask": lambda x, channel, spatial: x * spatial[:, None],
            "added the masks": lambda x, channel, spatial: x * (channel[:, :, None, None] + spatial[:, None]),
            "channel mask without new axes": lambda x, channel, spatial: x * channel * spatial[:, None],
            "channel mask over the columns": lambda x, channel, spatial: (
                x * channel[:, None, None, :] * spatial[:, None]
            ),
            "spatial mask without a new axis": lambda x, channel, spatial: x * channel[:, :, None, None] * spatial,
            "no new axes": lambda x, channel, spatial: x * channel * spatial,
            "exchanged rows and columns": lambda x, channel, spatial: (
                x * channel[:, :, None, None] * spatial[:, None].transpose(2, 3)
            ),
            "returned the mask": lambda x, channel, spatial: channel[:, :, None, None] * spatial[:, None],
        },
    ),
    Task(
        context_vector,
        _draw_context,
        mistakes={
            "not scaled": lambda q, k, v: (k @ q).softmax(0) @ v,
            "divided by d": lambda q, k, v: (k @ q / len(q)).softmax(0) @ v,
            "divided by the root of n": lambda q, k, v: (k @ q / len(k) ** 0.5).softmax(0) @ v,
            "multiplied by the root of d": lambda q, k, v: (k @ q * len(q) ** 0.5).softmax(0) @ v,
            "divided after the softmax": lambda q, k, v: (k @ q).softmax(0) @ v / len(q) ** 0.5,
            "did not sum": lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0)[:, None] * v,
            "scores as weights": lambda q, k, v: (k @ q / len(q) ** 0.5) @ v,
            "averaged the keys": lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0) @ k,
            "root of the values' width": lambda q, k, v: (k @ q / v.shape[1] ** 0.5).softmax(0) @ v,
            "plain mean of the values": lambda q, k, v: v.mean(0),
            "value of the best key": lambda q, k, v: v[(k @ q).argmax()],
            "sigmoid weights": lambda q, k, v: (k @ q / len(q) ** 0.5).sigmoid() @ v,
            "returned the weights": lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0),
            "divided by n too": lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0) @ v / len(v),
        },
    ),
    Task(
        find_fixed_masks,
        _draw_recorded,
        mistakes={
            "the masks that change": lambda masks: sorted({*range(len(masks))} - {*find_fixed_masks(masks)}),
            "masks of equal values": lambda masks: _below(masks, lambda mask: mask.std()),
            "channels of one picture": any_of(
                lambda masks: _below(masks, lambda mask: mask - mask[:, :1]),
                lambda masks: _below(masks, lambda mask: mask.flatten(1).std(1)),
            ),
            "the first two pictures": lambda masks: _below(masks, lambda mask: mask[0] - mask[1]),
            "first and last": lambda masks: _below(masks, lambda mask: mask[0] - mask[-1]),
            "mean of the differences": lambda masks: _below(masks, lambda mask: (mask - mask[:1]).abs().mean()),
            "returned the masks": lambda masks: [masks[i] for i in find_fixed_masks(masks)],
            "left out .abs()": lambda masks: _below(masks, lambda mask: (mask - mask[:1]).clamp(min=0)),
            "exact equality": lambda masks: _below(masks, lambda mask: (mask != mask[:1]).float()),
            "compared the means": lambda masks: _below(masks, lambda mask: mask.flatten(1).mean(1).std()),
            "returned True or False": lambda masks: [i in find_fixed_masks(masks) for i in range(len(masks))],
            "only the first": lambda masks: find_fixed_masks(masks)[:1],
            "counted from 1": lambda masks: [i + 1 for i in find_fixed_masks(masks)],
        },
    ),
    Task(
        fix_self_attention,
        _draw_port,
        mistakes={
            "the port as it was": lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(1).transpose(1, 2),
            "weights not transposed": lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(2),
            "both axes": lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(1),
            "scaled the scores": lambda q, k, v: (
                v @ (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(2).transpose(1, 2)
            ),
            "left out the softmax": lambda q, k, v: v @ (q.transpose(1, 2) @ k).transpose(1, 2),
            "returned the weights": lambda q, k, v: (q.transpose(1, 2) @ k).softmax(2),
            "over all pairs": lambda q, k, v: (
                v @ (q.transpose(1, 2) @ k).flatten(1).softmax(1).view(len(q), q.shape[2], -1).mT
            ),
        },
    ),
)
