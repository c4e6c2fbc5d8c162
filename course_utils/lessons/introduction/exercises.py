"""The exercises of lesson 4.1: share out, apply masks, make a context, tell fixed from dynamic, mend a port."""

import torch
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake


def share_out(scores: Tensor) -> Tensor:
    """Turn scores into weights by a softmax over the last axis: (N, n) -> (N, n), each row sums to 1.

    Use `torch.exp` and a sum, not a ready-made softmax.
    """
    powers = torch.exp(scores)
    return powers / powers.sum(dim=-1, keepdim=True)


def apply_both_masks(x: Tensor, channel_mask: Tensor, spatial_mask: Tensor) -> Tensor:
    """Apply a mask over channels and a mask over positions: x (N, C, H, W) -> (N, C, H, W).

    channel_mask (N, C) has one weight a channel, spatial_mask (N, H, W) one weight a position.
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


def mend_self_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
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
    width, many = draw.integer(4, 6), draw.integer(7, 9)
    return draw.normal(width), draw.normal(many, width), draw.normal(many, width)


def _draw_recorded(draw: Draw) -> Inputs:
    pictures, channels = draw.integer(4, 6), draw.integer(5, 7)
    moving = draw.uniform(pictures, channels, 1, 1, low=0.2, high=0.8)
    late = draw.uniform(1, 1, 6, 6, low=0.2, high=0.8).expand(pictures, 1, 6, 6).clone()
    late[-1] = draw.uniform(1, 6, 6, low=0.2, high=0.8)  # only the last picture has another mask
    alike = draw.uniform(pictures, 1, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1).clone()
    still = draw.uniform(1, channels, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1)
    rounded = still.flip(1) + draw.uniform(pictures, channels, 1, 1, low=-1e-6, high=1e-6)
    swapped = draw.uniform(1, channels, 1, 1, low=0.2, high=0.8).expand(pictures, channels, 1, 1).clone()
    swapped[1] = swapped[0].flip(0)  # the same values, but of other channels
    half = torch.full((pictures, channels, 1, 1), 0.5)
    falling = draw.uniform(pictures, channels, 1, 1, low=0.2, high=0.8)
    falling[0] = 0.9  # no later mask has a weight above the first picture's
    found = draw.shuffled([moving, late, alike, still.clone(), rounded, swapped, half, falling])
    return (found,)


def _draw_port(draw: Draw) -> Inputs:
    pictures, positions, width, channels = 2, draw.integer(6, 8), draw.integer(2, 3), draw.integer(4, 5)
    query, key = (draw.normal(pictures, width, positions) for _ in range(2))
    return query, key, draw.normal(pictures, channels, positions)


SHARE_OUT = Exercise(
    lesson="4.1",
    official=share_out,
    draw=lambda draw: (draw.normal(draw.integer(3, 4), draw.integer(5, 7), mean=0.5),),
    minutes=4,
    difficulty=1,
    axes=("row", "entry"),
    hints=(
        "A softmax has two steps: make every score positive, then divide so that each row sums to 1.",
        "`torch.exp` makes scores positive; a sum over `dim=-1` is taken along a row.",
        "`keepdim=True` keeps the summed axis with length 1, so that each row is divided by its own sum.",
    ),
    takeaway="Each row is a budget of 1. A larger score takes a larger share, and takes it from the others.",
    mistakes=(
        Mistake(
            "You divided the scores themselves by their sum; take `torch.exp` of them first, or a negative score makes "
            "a negative weight.",
            lambda scores: scores / scores.sum(dim=-1, keepdim=True),
        ),
        Mistake("You did not divide by the sum: the rows do not sum to 1.", torch.exp),
        Mistake(
            "You shared out over axis 0, so that columns sum to 1; the budget belongs to a row, `dim=-1`.",
            lambda scores: scores.softmax(dim=0),
        ),
        Mistake(
            "You divided by the sum of all rows together; each row has a budget of its own: `dim=-1, keepdim=True`.",
            lambda scores: torch.exp(scores) / torch.exp(scores).sum(),
        ),
        Mistake(
            "You took a sigmoid: it looks at one score at a time, so nothing is shared out.",
            lambda scores: scores.sigmoid(),
        ),
        Mistake(
            "You gave the largest score everything; a softmax leaves each a share.",
            lambda scores: (scores == scores.amax(dim=-1, keepdim=True)).to(scores.dtype),
        ),
        Mistake("You returned the logarithm of the weights.", lambda scores: scores.log_softmax(dim=-1)),
        Mistake(
            "Your weights are turned round: the largest score has the smallest. Take `torch.exp(scores)`, without a "
            "minus.",
            lambda scores: (-scores).softmax(dim=-1),
        ),
    ),
)

APPLY_BOTH = Exercise(
    lesson="4.1",
    official=apply_both_masks,
    draw=_draw_masks,
    minutes=5,
    difficulty=1,
    axes=("picture", "channel", "row", "column"),
    hints=(
        "f is a product here. Bring each mask to four axes first, length 1 where it does not differ.",
        "`mask[:, :, None, None]` puts new axes of length 1 at the end, `mask[:, None]` one after the first.",
        "The channel mask becomes (N, C, 1, 1), the spatial mask (N, 1, H, W).",
    ),
    takeaway="Axes of length 1 say what a mask does not tell apart. All lengths were equal here on purpose: a mask on "
    "the wrong axis raises no error then.",
    mistakes=(
        Mistake(
            "You forgot the spatial mask.",
            lambda x, channel, spatial: x * channel[:, :, None, None],
        ),
        Mistake("You forgot the channel mask.", lambda x, channel, spatial: x * spatial[:, None]),
        Mistake(
            "You added the masks; both must let a value pass, so multiply them.",
            lambda x, channel, spatial: x * (channel[:, :, None, None] + spatial[:, None]),
        ),
        Mistake(
            "You turned the channel mask without new axes at its end, so it ran over rows and columns; "
            "make it (N, C, 1, 1).",
            lambda x, channel, spatial: x * channel * spatial[:, None],
        ),
        Mistake(
            "Your channel mask runs over the columns; its weights belong to axis 1: `channel_mask[:, :, None, None]`.",
            lambda x, channel, spatial: x * channel[:, None, None, :] * spatial[:, None],
        ),
        Mistake(
            "Your spatial mask has no axis for the channels, so its first axis was taken for them; "
            "use `spatial_mask[:, None]`.",
            lambda x, channel, spatial: x * channel[:, :, None, None] * spatial,
        ),
        Mistake(
            "Neither mask has axes of length 1: both were taken for a map of rows and columns. Make them (N, C, 1, 1) "
            "and (N, 1, H, W).",
            lambda x, channel, spatial: x * channel * spatial,
        ),
        Mistake(
            "You exchanged rows and columns of the spatial mask.",
            lambda x, channel, spatial: x * channel[:, :, None, None] * spatial[:, None].transpose(2, 3),
        ),
        Mistake(
            "You returned the mask; f applies it to x.",
            lambda x, channel, spatial: channel[:, :, None, None] * spatial[:, None],
        ),
    ),
)

CONTEXT = Exercise(
    lesson="4.1",
    official=context_vector,
    draw=_draw_context,
    minutes=8,
    difficulty=2,
    axes=("feature",),
    hints=(
        "Three steps: a score for each key, weights from the scores, a weighted average of the values.",
        "`keys @ query` are all n dot products at once; divide by the square root of d, the length of the query.",
        "`weights @ values` sums weight times value over the n keys.",
    ),
    takeaway="Score, align, average: this is attention with a query. The values take no part in the weights.",
    mistakes=(
        Mistake(
            "You did not divide the scores by the square root of d.",
            lambda q, k, v: (k @ q).softmax(0) @ v,
        ),
        Mistake(
            "You divided by d; divide by its square root.",
            lambda q, k, v: (k @ q / len(q)).softmax(0) @ v,
        ),
        Mistake(
            "You divided by the square root of n, the number of keys; d is the length of a key.",
            lambda q, k, v: (k @ q / len(k) ** 0.5).softmax(0) @ v,
        ),
        Mistake(
            "You used the scores as weights; a softmax shares them out first.",
            lambda q, k, v: (k @ q / len(q) ** 0.5) @ v,
        ),
        Mistake(
            "You averaged the keys; keys are for finding, values are what is handed on.",
            lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0) @ k,
        ),
        Mistake(
            "You compared the query with the values; compare it with the keys.",
            lambda q, k, v: (v @ q / len(q) ** 0.5).softmax(0) @ v,
        ),
        Mistake(
            "You took the plain mean of the values: the query has no say in it.",
            lambda q, k, v: v.mean(0),
        ),
        Mistake(
            "You returned only the value of the best key; the context is a mean of all, by weight.",
            lambda q, k, v: v[(k @ q).argmax()],
        ),
        Mistake(
            "You made the weights with a sigmoid; they must share out a budget of 1.",
            lambda q, k, v: (k @ q / len(q) ** 0.5).sigmoid() @ v,
        ),
        Mistake("You returned the weights.", lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0)),
        Mistake(
            "You divided by n too; the weights sum to 1 already.",
            lambda q, k, v: (k @ q / len(q) ** 0.5).softmax(0) @ v / len(v),
        ),
    ),
)

FIND_FIXED = Exercise(
    lesson="4.1",
    official=find_fixed_masks,
    draw=_draw_recorded,
    minutes=6,
    difficulty=2,
    hints=(
        "Compare the masks of different pictures, place by place. Which axis counts the pictures?",
        "`mask - mask[:1]` is how far each picture's mask lies from that of the first.",
        "A mask is fixed if the largest absolute difference, over everything, is below 1e-4.",
    ),
    takeaway="A mask that is the same for every picture is a weight, whatever the block is called. Record masks over "
    "several pictures before you speak of attention.",
    mistakes=(
        Mistake(
            "You returned the masks that do change.",
            lambda masks: [i for i in range(len(masks)) if i not in find_fixed_masks(masks)],
        ),
        Mistake(
            "You looked for masks whose values are all equal; one picture's mask may well vary from channel to "
            "channel and still be the same for every picture.",
            lambda masks: [i for i, mask in enumerate(masks) if mask.std() < 1e-4],
        ),
        Mistake(
            "You compared the channels of one picture with each other; compare the pictures, axis 0.",
            lambda masks: [i for i, mask in enumerate(masks) if (mask - mask[:, :1]).abs().max() < 1e-4],
        ),
        Mistake(
            "You compared the first two pictures only; a mask may move first at a later one.",
            lambda masks: [i for i, mask in enumerate(masks) if (mask[0] - mask[1]).abs().max() < 1e-4],
        ),
        Mistake(
            "You left out `.abs()`: where a mask falls below that of the first picture, the difference is negative and "
            "so below 1e-4 as well.",
            lambda masks: [i for i, mask in enumerate(masks) if (mask - mask[:1]).max() < 1e-4],
        ),
        Mistake(
            "You asked for exact equality; masks that are computed differ by rounding, so allow 1e-4.",
            lambda masks: [i for i, mask in enumerate(masks) if (mask == mask[:1]).all()],
        ),
        Mistake(
            "You compared the means of the masks; a mask can move its weights and keep its mean.",
            lambda masks: [i for i, mask in enumerate(masks) if mask.flatten(1).mean(1).std() < 1e-4],
        ),
        Mistake(
            "You returned True or False for each mask; return the places of the fixed ones.",
            lambda masks: [i in find_fixed_masks(masks) for i in range(len(masks))],
        ),
        Mistake("You stopped at the first one.", lambda masks: find_fixed_masks(masks)[:1]),
        Mistake("You counted the places from 1; count from 0.", lambda masks: [i + 1 for i in find_fixed_masks(masks)]),
    ),
)

MEND = Exercise(
    lesson="4.1",
    official=mend_self_attention,
    draw=_draw_port,
    minutes=9,
    difficulty=3,
    axes=("picture", "channel", "position"),
    hints=(
        "Take one query and write down which weights must sum to 1. Which axis of `scores` do you run along?",
        "`scores[n, i, j]` belongs to query i and key j: the softmax runs over j, the last axis.",
        "The result at position i is the sum over keys j of weights[i, j] * value[:, j]: `value` times the transposed "
        "weights.",
    ),
    takeaway="Both sums look the same in the code, and both train. Name the axes: each query shares out its 1 among "
    "the keys.",
    mistakes=(
        Mistake(
            "The port's mistake is still there: your weights sum to 1 over the queries, axis 1; a query shares out its "
            "budget over the keys, axis 2.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(1).transpose(1, 2),
        ),
        Mistake(
            "The softmax is right, but the product after it sums over the queries: transpose the weights, so that the "
            "sum runs over the keys.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(2),
        ),
        Mistake(
            "Both axes are exchanged: you attend from the keys to the queries. The rows of `scores` are queries.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k).softmax(1),
        ),
        Mistake(
            "You scaled the scores; the paper of this block does not.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(2).transpose(1, 2),
        ),
        Mistake(
            "You left out the softmax.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k).transpose(1, 2),
        ),
        Mistake(
            "You returned the weights; use them to average the values.",
            lambda q, k, v: (q.transpose(1, 2) @ k).softmax(2),
        ),
        Mistake(
            "You shared out over all pairs at once; each query has a budget of its own.",
            lambda q, k, v: v @ (q.transpose(1, 2) @ k).flatten(1).softmax(1).view(len(q), q.shape[2], -1).mT,
        ),
    ),
)

EXERCISES = (SHARE_OUT, APPLY_BOTH, CONTEXT, FIND_FIXED, MEND)
