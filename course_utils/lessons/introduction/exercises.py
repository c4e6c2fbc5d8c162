"""The exercises of lesson 4.1: softmax, masks, a context, fixed and dynamic masks, a port to fix."""

import torch
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Task


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
            "channel mask over the columns": {"channel_mask[:, :, None, None]": "channel_mask[:, None, None, :]"},
            "spatial mask without a new axis": lambda x, channel, spatial: x * channel[:, :, None, None] * spatial,
            "no new axes": lambda x, channel, spatial: x * channel * spatial,
            "exchanged rows and columns": {"spatial_mask[:, None, :, :]": "spatial_mask[:, None].mT"},
            "returned the mask": lambda x, channel, spatial: channel[:, :, None, None] * spatial[:, None],
        },
    ),
    Task(
        context_vector,
        lambda draw: draw.normals("d", "n d", "n v", d=(5, 7), n=(8, 9), v=(3, 4)),
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
            "the masks that change": {"< 1e-4": ">= 1e-4"},
            "masks of equal values": {"(mask - mask[:1])": "mask.std()"},
            "channels of one picture": ({"mask[:1]": "mask[:, :1]"}, {"(mask - mask[:1])": "mask.flatten(1).std(1)"}),
            "the first two pictures": {"mask - mask[:1]": "mask[0] - mask[1]"},
            "first and last": {"mask - mask[:1]": "mask[0] - mask[-1]"},
            "mean of the differences": {".max()": ".mean()"},
            "returned the masks": {"[place for": "[mask for"},
            "left out .abs()": {".abs()": ""},
            "exact equality": {"(mask - mask[:1]).abs().max() < 1e-4": "(mask == mask[:1]).all()"},
            "compared the means": {"(mask - mask[:1])": "mask.flatten(1).mean(1).std()"},
            "returned True or False": lambda masks: [i in find_fixed_masks(masks) for i in range(len(masks))],
            "only the first": {"1e-4]": "1e-4][:1]"},
            "counted from 1": {"[place for": "[place + 1 for"},
        },
    ),
    Task(
        fix_self_attention,
        lambda draw: draw.normals("2 k M", "2 k M", "2 C M", M=(6, 8), k=(2, 3), C=(4, 5)),
        mistakes={
            "the port as it was": {"dim=2": "dim=1"},
            "weights not transposed": {"weights.transpose(1, 2)": "weights"},
            "both axes": {"dim=2": "dim=1", "weights.transpose(1, 2)": "weights"},
            "scaled the scores": {"@ key": "@ key / key.shape[1] ** 0.5"},
            "left out the softmax": {".softmax(dim=2)": ""},
            "returned the weights": {"value @ weights.transpose(1, 2)": "weights"},
            "over all pairs": {"scores.softmax(dim=2)": "scores.flatten(1).softmax(dim=1).view_as(scores)"},
        },
    ),
)
