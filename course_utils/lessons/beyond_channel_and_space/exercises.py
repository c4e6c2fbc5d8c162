"""The exercises of lesson 4.6: CBAM's two parts, branches that compete, and attention along time."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Task


def pool_channels(x: Tensor) -> Tensor:
    """Describe each position by the largest and the mean of its channels: (N, C, H, W) -> (N, 2, H, W), [max, mean]."""
    return torch.stack([x.amax(dim=1), x.mean(dim=1)], dim=1)


def count_scores(frames: int, places: int) -> tuple[int, int]:
    """Count the scores that one head computes for a clip of T frames of S places: (joint, divided)."""
    tokens = frames * places
    return tokens * tokens, tokens * (frames + places)


def cbam_channel_gates(mean: Tensor, largest: Tensor, mlp: Callable[[Tensor], Tensor]) -> Tensor:
    """Make CBAM's channel gates: mean and largest value of each channel, (N, C) each -> gates (N, C).

    `mlp` stands for the two shared layers with the ReLU between them: (N, C) -> (N, C), without a sigmoid.
    """
    return torch.sigmoid(mlp(mean) + mlp(largest))


def mix_branches(branches: Tensor, logits: Tensor) -> Tensor:
    """Let the branches compete in each channel: (N, B, C, H, W) and logits (N, B, C) -> (N, C, H, W)."""
    shares = logits.softmax(dim=1)  # (N, B, C): sum to 1 over the branches
    return (branches * shares[..., None, None]).sum(dim=1)


def attend_over_time(x: Tensor) -> Tensor:
    """Let each place look at itself in all frames: (N, T, S, D) -> (N, T, S, D), T frames of S places.

    Queries, keys and values are the tokens themselves; scores are divided by sqrt(D); no residual.
    """
    x = x.transpose(1, 2)  # (N, S, T, D): the places are a batch, time is the sequence
    scores = x @ x.transpose(2, 3) / x.shape[3] ** 0.5  # (N, S, T, T)
    return (scores.softmax(dim=3) @ x).transpose(1, 2)


def repaired_cbam(x: Tensor, mlp: Callable[[Tensor], Tensor], conv: Callable[[Tensor], Tensor]) -> Tensor:
    """Run CBAM as its release does: x (N, C, H, W) -> (N, C, H, W).

    `mlp` is the shared part of the channel mask, (N, C) -> (N, C); `conv` the convolution with batch norm of the
    spatial mask, (N, 2, H, W) -> (N, 1, H, W), trained on [max, mean].
    """
    mean, largest = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
    channel = torch.sigmoid(mlp(mean) + mlp(largest))[:, :, None, None]
    x = x * channel
    pooled = torch.stack([x.amax(dim=1), x.mean(dim=1)], dim=1)
    return x * torch.sigmoid(conv(pooled))


def _draw_map(draw: Draw) -> Tensor:
    return draw.normal(draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 7), draw.integer(8, 9), mean=0.5)


def _draw_mlp(draw: Draw, channels: int) -> Callable[[Tensor], Tensor]:
    reduce, expand = draw.normal(3, channels, std=0.5), draw.normal(channels, 3, std=0.5)
    first, second = draw.normal(3, mean=0.3, std=0.3), draw.normal(channels, std=0.5)

    def mlp(pooled: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(pooled, reduce, first)), expand, second)

    return mlp


def _draw_gates(draw: Draw) -> Inputs:
    shape = draw.integer(2, 3), draw.integer(5, 7)
    mean = draw.normal(*shape, mean=0.5, std=0.5)
    return mean, mean + draw.uniform(*shape, low=0.5, high=2.0), _draw_mlp(draw, shape[1])


def _draw_cbam(draw: Draw) -> Inputs:
    x = _draw_map(draw)
    kernel = draw.normal(1, 2, 3, 3, std=0.3)

    def conv(pooled: Tensor) -> Tensor:
        return F.conv2d(pooled, kernel, padding=1)

    return x, _draw_mlp(draw, x.shape[1]), conv


def _spatial_first(x: Tensor, mlp: Callable[[Tensor], Tensor], conv: Callable[[Tensor], Tensor]) -> Tensor:
    x = x * torch.sigmoid(conv(pool_channels(x)))
    return x * torch.sigmoid(mlp(x.mean(dim=(2, 3))) + mlp(x.amax(dim=(2, 3))))[:, :, None, None]


# The three faults of the lesson's copy.
_MEAN_TWICE = {"mlp(largest)": "mlp(mean)"}
_MEAN_FIRST = {"[x.amax(dim=1), x.mean(dim=1)]": "[x.mean(dim=1), x.amax(dim=1)]"}
_FROM_INPUT = {"    x = x * channel": "    refined = x * channel", "return x": "return refined"}

TASKS = (
    Task(
        pool_channels,
        lambda draw: (_draw_map(draw),),
        mistakes={
            "mean before max": lambda x: torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1),
            "pooled over rows": lambda x: torch.stack([x.amax(dim=(2, 3)), x.mean(dim=(2, 3))], dim=1),
            "new axis before the images": lambda x: torch.stack([x.amax(dim=1), x.mean(dim=1)]),
            "took the largest magnitude": lambda x: torch.stack([x.abs().amax(dim=1), x.mean(dim=1)], dim=1),
            "summed over the channels": lambda x: torch.stack([x.amax(dim=1), x.sum(dim=1)], dim=1),
            "stacked the smallest value": lambda x: torch.stack([x.amin(dim=1), x.mean(dim=1)], dim=1),
            "stacked along the rows": lambda x: torch.cat([f(dim=1, keepdim=True) for f in (x.amax, x.mean)], dim=2),
        },
    ),
    Task(
        count_scores,
        lambda draw: (draw.integer(3, 16), draw.integer(20, 200)),
        mistakes={
            "one query alone": lambda t, s: (t * s, t + s),
            "joint stays inside a frame": lambda t, s: (t * s * s, t * s * (t + s)),
            "only the second step": lambda t, s: ((t * s) ** 2, t * s * s),
            "only the first step": lambda t, s: ((t * s) ** 2, t * t * s),
            "multiplied the keys": lambda t, s: ((t * s) ** 2, (t * s) * (t * s)),
            "one place and one frame alone": lambda t, s: ((t * s) ** 2, t * t + s * s),
            "each pair once": lambda t, s: (t * s * (t * s + 1) // 2, t * s * (t + s)),
            "the other order": lambda t, s: (t * s * (t + s), (t * s) ** 2),
        },
    ),
    Task(
        cbam_channel_gates,
        _draw_gates,
        mistakes={
            "added two sigmoids": lambda mean, largest, mlp: mlp(mean).sigmoid() + mlp(largest).sigmoid(),
            "averaged two sigmoids": lambda mean, largest, mlp: (mlp(mean).sigmoid() + mlp(largest).sigmoid()) / 2,
            "multiplied two sigmoids": lambda mean, largest, mlp: mlp(mean).sigmoid() * mlp(largest).sigmoid(),
            "averaged the two logits": lambda mean, largest, mlp: torch.sigmoid((mlp(mean) + mlp(largest)) / 2),
            "added before the layers": lambda mean, largest, mlp: torch.sigmoid(mlp(mean + largest)),
            "added the mean twice": lambda mean, largest, mlp: torch.sigmoid(mlp(mean) + mlp(mean)),
            "used the mean alone": lambda mean, largest, mlp: torch.sigmoid(mlp(mean)),
            "forgot the sigmoid": lambda mean, largest, mlp: mlp(mean) + mlp(largest),
        },
    ),
    Task(
        mix_branches,
        lambda draw: draw.normals("N B C 5 6", "N B C", N=(2, 3), B=(2, 3), C=(4, 6)),
        mistakes={
            "softmax runs over the channels": {"dim=1)  #": "dim=2)  #"},
            "softmax twice": {".softmax(dim=1)": ".softmax(dim=1).softmax(dim=1)"},
            "softmax over branches and channels": {"softmax(dim=1)": "flatten(1).softmax(dim=1).view_as(logits)"},
            "a sigmoid for each branch": {"softmax(dim=1)": "sigmoid()"},
            "the logits as shares": {".softmax(dim=1)": ""},
            "softmax runs over the images": {"dim=1)  #": "dim=0)  #"},
            "averaged the branches": {".sum(": ".mean("},
            "one share for all channels": {"logits.softmax": "logits.mean(dim=2, keepdim=True).softmax"},
            "the strongest branch alone": {"logits.softmax(dim=1)": "(logits == logits.amax(dim=1, keepdim=True))"},
        },
    ),
    Task(
        attend_over_time,
        lambda draw: draw.normals("2 T S D", T=(3, 4), S=(5, 7), D=(8, 9)),
        mistakes={
            "attended within each frame": {".transpose(1, 2)": ""},
            "reshaped without a transpose": {".transpose(1, 2)": ".reshape(len(x), x.shape[2], x.shape[1], -1)"},
            "reshaped back without a transpose": {
                "x).transpose(1, 2)": "x).reshape(len(x), x.shape[2], x.shape[1], -1)"
            },
            "joint attention": lambda x: F.scaled_dot_product_attention(*[x.flatten(1, 2)] * 3).view_as(x),
            "forgot to divide": {" / x.shape[3] ** 0.5": ""},
            "divided by the root of T": {"/ x.shape[3]": "/ x.shape[2]"},
            "divided by the root of S": {"/ x.shape[3]": "/ x.shape[1]"},
            "divided by D": {" ** 0.5": ""},
            "softmax over the queries": {"softmax(dim=3)": "softmax(dim=2)"},
            "did not move time": {"@ x).transpose(1, 2)": "@ x)"},
            "added the input": lambda x: x + attend_over_time(x),
        },
    ),
    Task(
        repaired_cbam,
        _draw_cbam,
        mistakes={
            "the code as it was": _MEAN_TWICE | _MEAN_FIRST | _FROM_INPUT,
            "the mean twice is left": _MEAN_TWICE,
            "the order of the maps is left": _MEAN_FIRST,
            "the input of the spatial part is left": _FROM_INPUT,
            "only the largest value is corrected": _MEAN_FIRST | _FROM_INPUT,
            "only the order of the maps is corrected": _MEAN_TWICE | _FROM_INPUT,
            "only the input of the spatial part is corrected": _MEAN_TWICE | _MEAN_FIRST,
            "multiplied the input": {"    x = x *": "    given, x = x, x *", "return x": "return given"},
            "the spatial part first": _spatial_first,
        },
    ),
)
