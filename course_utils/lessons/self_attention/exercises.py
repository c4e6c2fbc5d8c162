"""The exercises of lesson 4.1.3: reach, projections, weights, slope, output, and a port to fix."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Task


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


# The port's faults; swapped names and a softmax over the queries give the numbers of weights that are not transposed.
_NAMES = {"key, query, value = ": "query, key, value = "}
_AXIS = {"softmax(dim=2)": "softmax(dim=1)"}
_FAULTS = (
    {"turned": _NAMES | _AXIS, "names": _NAMES, "axis": _AXIS},
    {"scale": {"@ key)": "@ key / key.shape[1] ** 0.5)"}},
    {"residual": {" + x": ""}},
)


def _draw_stack(draw: Draw) -> Inputs:
    count = draw.integer(4, 5)
    kernels = [draw.choice((3, 5, 7)) for _ in range(count)]
    strides = [2, 1, draw.choice((2, 3)), *(2 for _ in range(count - 3))]
    return kernels, strides


_LAYERS = ("k C 1 1", 0.5), ("k C 1 1", 0.5), ("v C 1 1", 0.5), ("C v 1 1", 0.5)

TASKS = (
    Task(
        receptive_side,
        _draw_stack,
        mistakes={
            "without strides": {"step *= stride": "pass"},
            "own stride counted": {"* step": "* step * stride"},
            "added the kernel sizes": {"(kernel - 1)": "kernel"},
            "started from 0": {"side, step = 1, 1": "side, step = 0, 1"},
            "multiplied the kernel sizes": lambda kernels, strides: math.prod(kernels),
            "added the strides": (
                {"step = 1, 1": "step = 1, 0", "* step": "* max(1, step)", "step *=": "step +="},
                {"step *= stride": "step += stride - 1"},
            ),
            "the last layer first": {"zip(kernels, strides": "zip(kernels[::-1], strides[::-1]"},
            "the area": {"return side": "return side**2"},
        },
    ),
    Task(
        project_positions,
        lambda draw: draw.normals("N C H W", ("d C 1 1", 0.4), N=(2, 3), C=(5, 6), H=(2, 3), W=(4, 5), d=(3, 4)),
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
        lambda draw: draw.normals("N Q d", "N K d", N=(2, 3), Q=(5, 6), K=(3, 4), d=(3, 4)),
        mistakes={
            "softmax over the queries": {"dim=2": "dim=1"},
            "softmax twice": {".softmax(dim=2)": ".softmax(dim=2).softmax(dim=2)"},
            "scores over their sum": {"scores.softmax(dim=2)": "scores / scores.sum(dim=2, keepdim=True)"},
            "scaled": {"key.transpose(1, 2)": "key.transpose(1, 2) / key.shape[2] ** 0.5"},
            "returned the scores": {".softmax(dim=2)": ""},
            "used a sigmoid": {"softmax(dim=2)": "sigmoid()"},
            "keys before queries": {"query @ key.transpose": "key @ query.transpose"},
            "the cosine": {"query @ key.transpose": "F.normalize(query, dim=2) @ F.normalize(key, dim=2).transpose"},
            "softmax over all pairs": {"scores.softmax(dim=2)": "scores.flatten(1).softmax(dim=1).view_as(scores)"},
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
        lambda draw: (
            *draw.normals("N C H W", "N H*W v", "C v 1 1", N=(2, 3), C=(5, 6), H=(2, 3), W=(7, 8), v=(3, 4)),
            draw.uniform(1, low=0.2, high=0.8),
        ),
        mistakes={
            "left out the residual": {" + x": ""},
            "left out gamma": {"gamma * ": ""},
            "gamma times the sum": {"gamma * F": "gamma * (F", " + x": " + x)"},
            "gamma times x": {"gamma * F": "F", "+ x": "+ gamma * x"},
            "blended": {"+ x": "+ (1 - gamma) * x"},
            "reshaped straight": {"transpose(1, 2).unflatten(2, x.shape[2:])": "reshape(len(x), -1, *x.shape[2:])"},
            "reshaped after the output layer": {
                "F.conv2d(gathered, output_weight)": "(context @ output_weight[:, :, 0, 0].T).reshape(x.shape)"
            },
        },
    ),
    Task(
        sagan_attention,
        lambda draw: (
            *draw.normals("2 C H W", *_LAYERS, C=(6, 7), H=(2, 3), W=(4, 5), k=(3, 4), v=(3, 4)),
            draw.uniform(1, low=0.2, high=0.8),
        ),
        faults=_FAULTS,
        mistakes={
            "left out gamma": {"gamma * ": ""},
            "gamma times the sum": {"gamma * F": "gamma * (F", " + x": " + x)"},
            "reshaped straight": {"context.unflatten": "context.transpose(1, 2).reshape(context.shape).unflatten"},
        },
    ),
)
