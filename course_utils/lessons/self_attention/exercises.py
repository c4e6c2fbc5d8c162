"""The exercises of lesson 4.1.3: reach, projections, weights, slope, output, and a port to fix."""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.port import port_mistakes
from ...check.tasks import Task, any_of


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


def _added_strides(kernels: Sequence[int], strides: Sequence[int], start: int = 0) -> int:
    steps = [max(1, start + sum(stride - start for stride in strides[:i])) for i in range(len(kernels))]
    return 1 + sum((kernel - 1) * step for kernel, step in zip(kernels, steps, strict=True))


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
    context = value @ weights.transpose(1, 2)  # (N, dv, queries)
    if "reshape" in faults:
        context = context.transpose(1, 2).reshape(context.shape)
    added = F.conv2d(context.unflatten(2, x.shape[2:]), output_weight)
    if "sum" in faults:
        return gamma * (added + x)
    added = added if "gamma" in faults else gamma * added
    return added if "residual" in faults else added + x


_FAULTS = {
    "names": "query and key are swapped: f makes the keys, g the queries",
    "scale": "the scores are divided by the square root of d; SAGAN does not divide",
    "axis": "the softmax runs over the queries; each query's weights must sum to 1 over the keys",
    "residual": "the input `x` is not added",
}
_AS_IT_WAS = (
    "This is the port as it was, with four faults in it. Read it from the top: which letter of the paper makes the "
    "queries?"
)
# Swapped names and a softmax over the queries give the numbers of weights that are not transposed.
_TURNED = (
    "each position sums with the weights that the others give it, not with its own: transpose the weights in "
    "`value @ weights`, unless query and key are swapped and the softmax runs over the queries: the numbers are equal"
)


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
    images, channels, height, width = draw.integer(2, 3), draw.integer(5, 6), draw.integer(2, 3), draw.choice((4, 7))
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


TASKS = (
    Task(
        receptive_side,
        _draw_stack,
        mistakes={
            "without strides": lambda kernels, strides: _sides(kernels, [1] * len(kernels)),
            "own stride counted": lambda kernels, strides: _sides(kernels, strides, own=True),
            "added the kernel sizes": lambda kernels, strides: _sides(kernels, strides, least=0),
            "started from 0": lambda kernels, strides: _sides(kernels, strides) - 1,
            "multiplied the kernel sizes": lambda kernels, strides: math.prod(kernels),
            "added the strides": any_of(_added_strides, partial(_added_strides, start=1)),
            "the last layer first": lambda kernels, strides: _sides(kernels[::-1], strides[::-1]),
            "the area": lambda kernels, strides: _sides(kernels, strides) ** 2,
        },
    ),
    Task(
        project_positions,
        _draw_projection,
        mistakes={
            "reshaped straight": lambda x, weight: F.conv2d(x, weight).reshape(len(x), -1, len(weight)),
            "channels before positions": lambda x, weight: F.conv2d(x, weight).flatten(2),
            "columns first": lambda x, weight: F.conv2d(x, weight).transpose(2, 3).flatten(2).transpose(1, 2),
            "two axes of positions": lambda x, weight: F.conv2d(x, weight).permute(0, 2, 3, 1),
            "forgot the projection": lambda x, weight: x.flatten(2).transpose(1, 2),
            "put a ReLU after": lambda x, weight: F.relu(F.conv2d(x, weight)).flatten(2).transpose(1, 2),
        },
    ),
    Task(
        weigh_keys,
        _draw_queries,
        mistakes={
            "softmax over the queries": lambda query, key: (query @ key.transpose(1, 2)).softmax(dim=1),
            "softmax twice": lambda query, key: (query @ key.transpose(1, 2)).softmax(dim=2).softmax(dim=2),
            "scores over their sum": lambda query, key: (query @ key.mT) / (query @ key.mT).sum(dim=2, keepdim=True),
            "scaled": lambda query, key: (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).softmax(dim=2),
            "returned the scores": lambda query, key: query @ key.transpose(1, 2),
            "used a sigmoid": lambda query, key: torch.sigmoid(query @ key.transpose(1, 2)),
            "keys before queries": lambda query, key: (key @ query.transpose(1, 2)).softmax(dim=2),
            "the cosine": lambda query, key: (
                F.normalize(query, dim=2) @ F.normalize(key, dim=2).transpose(1, 2)
            ).softmax(dim=2),
            "softmax over all pairs": lambda query, key: (
                (query @ key.transpose(1, 2)).flatten(1).softmax(dim=1).unflatten(1, (query.shape[1], -1))
            ),
        },
    ),
    Task(
        softmax_slope,
        lambda draw: (draw.normal(draw.integer(3, 4), draw.integer(5, 6)),),
        mistakes={
            "the weight alone": lambda scores: scores.softmax(dim=1),
            "gave 1 - w": lambda scores: 1 - scores.softmax(dim=1),
            "gave w * w": lambda scores: scores.softmax(dim=1) ** 2,
            "gave -w * w": lambda scores: -(scores.softmax(dim=1) ** 2),
            "softmax over the queries": lambda scores: scores.softmax(dim=0) * (1 - scores.softmax(dim=0)),
            "slope of a sigmoid": lambda scores: torch.sigmoid(scores) * (1 - torch.sigmoid(scores)),
        },
    ),
    Task(
        attention_output,
        _draw_output,
        mistakes={
            "left out the residual": lambda x, c, w, gamma: attention_output(x, c, w, gamma) - x,
            "left out gamma": lambda x, c, w, gamma: attention_output(x, c, w, torch.ones_like(gamma)),
            "gamma times the sum": lambda x, c, w, gamma: gamma * attention_output(x, c, w, torch.ones_like(gamma)),
            "gamma times x": lambda x, c, w, gamma: attention_output(x, c, w, torch.ones_like(gamma)) - x + gamma * x,
            "blended": lambda x, c, w, gamma: attention_output(x, c, w, gamma) - gamma * x,
            "reshaped straight": lambda x, c, w, gamma: gamma * F.conv2d(c.reshape(len(x), -1, *x.shape[2:]), w) + x,
            "reshaped after the output layer": lambda x, c, w, gamma: (
                gamma * (c @ w[:, :, 0, 0].T).reshape(x.shape) + x
            ),
        },
    ),
    Task(
        sagan_attention,
        _draw_port,
        mixtures=port_mistakes(
            [{fault: words} for fault, words in _FAULTS.items()],
            _ported,
            "fault",
            _AS_IT_WAS,
            together={("names", "axis"): _TURNED},
        ),
        mistakes={
            "left out gamma": partial(_ported, faults=("gamma",)),
            "gamma times the sum": partial(_ported, faults=("sum",)),
            "reshaped straight": partial(_ported, faults=("reshape",)),
        },
    ),
)
