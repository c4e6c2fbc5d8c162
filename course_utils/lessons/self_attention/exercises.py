"""The exercises of lesson 4.1.3: reach, projections, weights, slope, output, and a port to mend."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake


def receptive_side(kernels: list[int], strides: list[int]) -> int:
    """Count how many positions in a row one output of a stack of convolutions can see.

    `kernels` and `strides` hold each layer's kernel size and stride, the first layer first.
    """
    side, step = 1, 1  # step: how far apart in the input two neighbours of this layer's input are
    for kernel, stride in zip(kernels, strides, strict=True):
        side += (kernel - 1) * step
        step *= stride
    return side


def project_positions(x: Tensor, weight: Tensor) -> Tensor:
    """Project each position: x (N, C, H, W), weight (d, C, 1, 1) -> (N, H*W, d), row after row of the map."""
    return F.conv2d(x, weight).flatten(2).transpose(1, 2)


def weigh_keys(query: Tensor, key: Tensor) -> Tensor:
    """Weigh all keys for each query, as SAGAN does: query (N, Q, d), key (N, K, d) -> weights (N, Q, K)."""
    scores = query @ key.transpose(1, 2)  # (N, Q, K)
    return scores.softmax(dim=2)


def softmax_slope(scores: Tensor) -> Tensor:
    """Compute how fast each weight grows with its own score: scores (Q, K) -> (Q, K).

    The weights are the softmax of the scores over the K keys; the slope is d weight / d score of the same key.
    """
    weights = scores.softmax(dim=1)
    return weights * (1 - weights)


def attention_output(x: Tensor, context: Tensor, output_weight: Tensor, gamma: Tensor) -> Tensor:
    """Add what was gathered to the input: x (N, C, H, W), context (N, H*W, dv) -> (N, C, H, W).

    `output_weight` (C, dv, 1, 1) is the 1x1 convolution v, `gamma` a single number.
    """
    gathered = context.transpose(1, 2).unflatten(2, x.shape[2:])  # (N, dv, H, W)
    return gamma * F.conv2d(gathered, output_weight) + x


def sagan_attention(
    x: Tensor, key_weight: Tensor, query_weight: Tensor, value_weight: Tensor, output_weight: Tensor, gamma: Tensor
) -> Tensor:
    """Compute SAGAN's self-attention, x (N, C, H, W) -> (N, C, H, W), from its 1x1 convolutions f, g, h, v and gamma.

    Each weight is (out, in, 1, 1). Every position weighs all keys, gathers their values, and adds gamma times v of it.
    """
    key, query, value = (F.conv2d(x, weight).flatten(2) for weight in (key_weight, query_weight, value_weight))
    weights = (query.transpose(1, 2) @ key).softmax(dim=2)  # (N, queries, keys)
    context = value @ weights.transpose(1, 2)  # (N, dv, queries)
    return gamma * F.conv2d(context.unflatten(2, x.shape[2:]), output_weight) + x


def _sides(kernels: Sequence[int], strides: Sequence[int], least: int = 1, own: bool = False) -> int:
    """The side where each layer adds kernel - least, and where its own stride counts before it (`own`)."""
    side, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        step *= stride if own else 1
        side += (kernel - least) * step
        step *= 1 if own else stride
    return side


def _added_strides(kernels: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((kernel - 1) * max(1, sum(strides[:i])) for i, kernel in enumerate(kernels))


def _product(numbers: Sequence[int]) -> int:
    result = 1
    for number in numbers:
        result *= number
    return result


def _ported(
    x: Tensor,
    key_weight: Tensor,
    query_weight: Tensor,
    value_weight: Tensor,
    output_weight: Tensor,
    gamma: Tensor,
    faults: Sequence[str] = (),
) -> Tensor:
    """Self-attention with some of the faults of published ports."""
    if "names" in faults:
        key_weight, query_weight = query_weight, key_weight
    key, query, value = (F.conv2d(x, weight).flatten(2) for weight in (key_weight, query_weight, value_weight))
    scores = query.transpose(1, 2) @ key
    if "scale" in faults:
        scores = scores / key.shape[1] ** 0.5
    weights = scores.softmax(dim=1 if "axis" in faults else 2)
    added = F.conv2d((value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]), output_weight)
    added = added if "gamma" in faults else gamma * added
    return added if "residual" in faults else added + x


_FAULTS = {
    "names": "query and key are swapped: f makes the keys, g the queries",
    "scale": "the scores are divided by the square root of d; SAGAN does not divide",
    "axis": "the softmax runs over the queries; each query's weights must sum to 1 over the keys",
    "residual": "the input `x` is not added",
}


def _port_mistakes() -> tuple[Mistake, ...]:
    def with_faults(*faults: str) -> Callable[..., Tensor]:
        return partial(_ported, faults=faults)

    port = tuple(_FAULTS)
    mistakes = [
        Mistake(
            "This is the port as it was, with four faults in it. Read it from the top: which letter of the paper "
            "makes the queries?",
            with_faults(*port),
        )
    ]
    for count, word in ((3, "Three faults are"), (2, "Two faults are"), (1, "One fault is")):
        for faults in combinations(port, count):
            message = f"{word} left: {'; '.join(_FAULTS[fault] for fault in faults)}."
            if {"names", "axis"} <= set(faults):  # the same numbers
                message += " (If names and softmax are right, the weights are not transposed in `value @ weights`.)"
            mistakes.append(Mistake(message, with_faults(*faults)))
    mistakes += [
        Mistake("`gamma` is left out; the gathered part is multiplied by it.", with_faults("gamma")),
    ]
    return tuple(mistakes)


def _draw_stack(draw: Draw) -> Inputs:
    count = draw.integer(4, 5)
    kernels = [draw.choice((3, 5, 7)) for _ in range(count)]
    strides = [2, 1, draw.choice((2, 3)), *(2 for _ in range(count - 3))]
    return kernels, strides


def _draw_projection(draw: Draw) -> Inputs:
    channels = draw.integer(5, 6)
    x = draw.normal(draw.integer(2, 3), channels, draw.integer(2, 3), draw.integer(4, 5))
    return x, draw.normal(draw.integer(3, 4), channels, 1, 1, std=channels**-0.5)


def _draw_queries(draw: Draw) -> Inputs:
    images, width = draw.integer(2, 3), draw.integer(3, 4)
    return draw.normal(images, draw.integer(5, 6), width), draw.normal(images, draw.integer(3, 4), width)


def _draw_output(draw: Draw) -> Inputs:
    images, channels, height, width = draw.integer(2, 3), draw.integer(5, 6), draw.integer(2, 3), draw.integer(4, 5)
    values = draw.integer(3, 4)
    return (
        draw.normal(images, channels, height, width),
        draw.normal(images, height * width, values),
        draw.normal(channels, values, 1, 1),
        draw.uniform(1, low=0.2, high=0.8),
    )


def _draw_port(draw: Draw) -> Inputs:
    channels, width, values = draw.integer(6, 7), draw.integer(3, 4), draw.integer(3, 4)
    return (
        draw.normal(2, channels, draw.integer(2, 3), draw.integer(4, 5)),
        draw.normal(width, channels, 1, 1, std=0.5),
        draw.normal(width, channels, 1, 1, std=0.5),
        draw.normal(values, channels, 1, 1, std=0.5),
        draw.normal(channels, values, 1, 1, std=0.5),
        draw.uniform(1, low=0.2, high=0.8),
    )


RECEPTIVE = Exercise(
    lesson="4.1.3",
    official=receptive_side,
    draw=_draw_stack,
    minutes=6,
    difficulty=1,
    hints=(
        "Without strides, a layer with kernel k adds k - 1 to the side: 3, 5, 7 for one, two, three layers of 3x3.",
        "After a layer with stride 2, one step in the map is two steps in the input, for all layers that follow.",
        "Start with side = 1, step = 1; for each layer add (kernel - 1) * step to the side, then multiply the step by "
        "the layer's stride.",
    ),
    takeaway="Depth adds, strides multiply. Without strides, the middle of a picture of 224 pixels needs 112 layers of "
    "3x3 to see all of it.",
    mistakes=(
        Mistake(
            "You left the strides out; after a stride every later layer reaches further.",
            lambda kernels, strides: _sides(kernels, [1] * len(kernels)),
        ),
        Mistake(
            "You let a layer's own stride widen that same layer; it counts for the layers after it.",
            lambda kernels, strides: _sides(kernels, strides, own=True),
        ),
        Mistake(
            "You added the kernel sizes; neighbouring windows overlap, so a layer adds kernel - 1.",
            lambda kernels, strides: _sides(kernels, strides, least=0),
        ),
        Mistake(
            "You started from 0; with no layer at all an output sees one position.",
            lambda kernels, strides: _sides(kernels, strides) - 1,
        ),
        Mistake("You multiplied the kernel sizes; depth adds.", lambda kernels, strides: _product(kernels)),
        Mistake("You added the strides; they multiply.", _added_strides),
        Mistake(
            "You returned the area; the side is asked for.",
            lambda kernels, strides: _sides(kernels, strides) ** 2,
        ),
    ),
)

PROJECT = Exercise(
    lesson="4.1.3",
    official=project_positions,
    draw=_draw_projection,
    minutes=4,
    difficulty=1,
    axes=("picture", "position", "channel"),
    hints=(
        "A 1x1 convolution multiplies the channels of each position by one matrix: `F.conv2d(x, weight)`.",
        "`flatten(2)` puts the positions in one axis, but leaves the channels before them.",
        "(N, d, H, W) -> flatten(2) -> (N, d, H*W) -> transpose(1, 2) -> (N, H*W, d).",
    ),
    takeaway="A feature map is now a list of H*W vectors; where each came from no longer shows in it.",
    mistakes=(
        Mistake(
            "You reshaped (N, d, H, W) straight to (N, H*W, d). The shape is right, but values of different positions "
            "are mixed: flatten the positions, then swap the axes.",
            lambda x, weight: F.conv2d(x, weight).reshape(len(x), -1, len(weight)),
        ),
        Mistake(
            "You left the channels before the positions; swap the last two axes.",
            lambda x, weight: F.conv2d(x, weight).flatten(2),
        ),
        Mistake(
            "You went down the columns first; position i * W + j is row i, column j.",
            lambda x, weight: F.conv2d(x, weight).transpose(2, 3).flatten(2).transpose(1, 2),
        ),
        Mistake(
            "You kept rows and columns apart; make one axis of them.",
            lambda x, weight: F.conv2d(x, weight).permute(0, 2, 3, 1),
        ),
        Mistake("You forgot the projection: multiply by `weight`.", lambda x, weight: x.flatten(2).transpose(1, 2)),
        Mistake(
            "You put a ReLU after the projection; it is linear.",
            lambda x, weight: F.relu(F.conv2d(x, weight)).flatten(2).transpose(1, 2),
        ),
    ),
)

WEIGH = Exercise(
    lesson="4.1.3",
    official=weigh_keys,
    draw=_draw_queries,
    minutes=5,
    difficulty=2,
    axes=("picture", "query", "key"),
    hints=(
        "The score of query j and key i is their dot product. One matrix product makes all of them.",
        "`query @ key.transpose(1, 2)` is (N, Q, K). Along which axis must the weights of one query sum to 1?",
        "Softmax over the last axis, the keys. SAGAN does not divide the scores.",
    ),
    takeaway="A row is one query's attention: it sums to 1 over the keys. A column need not sum to anything.",
    mistakes=(
        Mistake(
            "Your weights sum to 1 over the queries, axis 1. Each query shares out its own attention: softmax over the "
            "keys, axis 2.",
            lambda query, key: (query @ key.transpose(1, 2)).softmax(dim=1),
        ),
        Mistake(
            "You divided the scores by the square root of d. Transformers do, SAGAN does not.",
            lambda query, key: (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).softmax(dim=2),
        ),
        Mistake(
            "You returned the scores; a softmax makes weights of them.", lambda query, key: query @ key.transpose(1, 2)
        ),
        Mistake(
            "You used a sigmoid, so that the weights of a query do not sum to 1.",
            lambda query, key: torch.sigmoid(query @ key.transpose(1, 2)),
        ),
        Mistake(
            "Your rows are the keys; a row belongs to a query: (N, Q, K).",
            lambda query, key: (key @ query.transpose(1, 2)).softmax(dim=2),
        ),
        Mistake(
            "You made queries and keys unit vectors first: that is the cosine, not the dot product.",
            lambda query, key: (F.normalize(query, dim=2) @ F.normalize(key, dim=2).transpose(1, 2)).softmax(dim=2),
        ),
        Mistake(
            "Your softmax runs over all queries and keys of a picture together; each query has a sum of 1 of its own.",
            lambda query, key: (
                (query @ key.transpose(1, 2)).flatten(1).softmax(dim=1).unflatten(1, (query.shape[1], -1))
            ),
        ),
    ),
)

SLOPE = Exercise(
    lesson="4.1.3",
    official=softmax_slope,
    draw=lambda draw: (draw.normal(draw.integer(3, 4), draw.integer(5, 6)),),
    minutes=5,
    difficulty=2,
    axes=("query", "key"),
    hints=(
        "w = exp(s) / sum of all exp. The score s stands in the numerator and once in the sum below.",
        "The derivative of a quotient gives w for the numerator, minus w times w for the sum.",
        "The slope is w * (1 - w).",
    ),
    takeaway="The slope is at most 0.25, at w = 0.5, and 0 where a weight is 0 or 1: a softmax that is sure no longer "
    "learns.",
    mistakes=(
        Mistake(
            "You forgot that the score also stands in the sum below: subtract w * w.",
            lambda scores: scores.softmax(dim=1),
        ),
        Mistake("You gave 1 - w; multiply it by w.", lambda scores: 1 - scores.softmax(dim=1)),
        Mistake("You gave w * w, the part that is subtracted.", lambda scores: scores.softmax(dim=1) ** 2),
        Mistake(
            "Your softmax runs over the queries, axis 0; the keys are axis 1.",
            lambda scores: scores.softmax(dim=0) * (1 - scores.softmax(dim=0)),
        ),
        Mistake(
            "That is the slope of a sigmoid of each score alone; in a softmax all scores share the sum.",
            lambda scores: torch.sigmoid(scores) * (1 - torch.sigmoid(scores)),
        ),
    ),
)

OUTPUT = Exercise(
    lesson="4.1.3",
    official=attention_output,
    draw=_draw_output,
    minutes=6,
    difficulty=2,
    axes=("picture", "channel", "row", "column"),
    hints=(
        "First bring the rows (N, H*W, dv) back to a map (N, dv, H, W): the reverse of what you did for the queries.",
        "`context.transpose(1, 2)` is (N, dv, H*W); `.unflatten(2, x.shape[2:])` splits its last axis.",
        "Then the 1x1 convolution, times `gamma`, plus `x`.",
    ),
    takeaway="With gamma at 0 the block passes `x` on untouched: it can be put into a network without disturbing it.",
    mistakes=(
        Mistake("You left out the residual: add `x`.", lambda x, c, w, gamma: attention_output(x, c, w, gamma) - x),
        Mistake(
            "You left out `gamma`; it multiplies the gathered part.",
            lambda x, c, w, gamma: attention_output(x, c, w, torch.ones_like(gamma)),
        ),
        Mistake(
            "You multiplied the sum by `gamma`; it belongs to the gathered part alone, `x` passes as it is.",
            lambda x, c, w, gamma: gamma * attention_output(x, c, w, torch.ones_like(gamma)),
        ),
        Mistake(
            "You multiplied `x` by `gamma`; it belongs to the gathered part.",
            lambda x, c, w, gamma: attention_output(x, c, w, torch.ones_like(gamma)) - x + gamma * x,
        ),
        Mistake(
            "You blended, (1 - gamma) times `x`; the residual is `x` in full.",
            lambda x, c, w, gamma: attention_output(x, c, w, gamma) - gamma * x,
        ),
        Mistake(
            "You reshaped (N, H*W, dv) straight to (N, dv, H, W): the shape is right, but values of different "
            "positions are mixed. Swap the axes first.",
            lambda x, c, w, gamma: gamma * F.conv2d(c.reshape(len(x), -1, *x.shape[2:]), w) + x,
        ),
        Mistake(
            "After the output layer you reshaped (N, H*W, C) straight to (N, C, H, W), which mixes positions; swap the "
            "axes first.",
            lambda x, c, w, gamma: gamma * (c @ w[:, :, 0, 0].T).reshape(x.shape) + x,
        ),
    ),
)

PORT = Exercise(
    lesson="4.1.3",
    official=sagan_attention,
    draw=_draw_port,
    minutes=12,
    difficulty=3,
    axes=("picture", "channel", "row", "column"),
    hints=(
        "There are four faults. One is in the names, one in the scores, one in the softmax, one in the last line.",
        "In the paper f makes the keys and g the queries; the scores are not divided; each query's weights sum to 1 "
        "over the keys.",
        "Swap query and key in the second line, remove the division, use softmax(dim=2), and add `x` at the end.",
    ),
    takeaway="None of these faults raises an error, and the block keeps its shapes. Only a comparison with the "
    "original, number for number, finds them.",
    mistakes=_port_mistakes(),
)

EXERCISES = (RECEPTIVE, PROJECT, WEIGH, SLOPE, OUTPUT, PORT)
