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


def _draw_branches(draw: Draw) -> Inputs:
    shape = draw.integer(2, 3), draw.choice((2, 3)), draw.integer(4, 6)
    return draw.normal(*shape, 5, 6), draw.normal(*shape)


def _draw_clip(draw: Draw) -> Tensor:
    return draw.normal(2, draw.integer(3, 4), draw.integer(5, 7), draw.choice((8, 9)))


def _draw_cbam(draw: Draw) -> Inputs:
    x = _draw_map(draw)
    kernel = draw.normal(1, 2, 3, 3, std=0.3)

    def conv(pooled: Tensor) -> Tensor:
        return F.conv2d(pooled, kernel, padding=1)

    return x, _draw_mlp(draw, x.shape[1]), conv


def _cbam(
    x: Tensor,
    mlp: Callable[[Tensor], Tensor],
    conv: Callable[[Tensor], Tensor],
    *,
    second: str = "max",
    pooled: str = "max, mean",
    over: str = "refined",
    scaled: str = "refined",
) -> Tensor:
    """CBAM with the mistakes that its copies make."""
    mean, largest = x.mean(dim=(2, 3)), x.amax(dim=(2, 3))
    channel = torch.sigmoid(mlp(mean) + mlp(largest if second == "max" else mean))[:, :, None, None]
    refined = x * channel
    seen = refined if over == "refined" else x
    maps = [seen.amax(dim=1), seen.mean(dim=1)]
    spatial = torch.sigmoid(conv(torch.stack(maps if pooled == "max, mean" else maps[::-1], dim=1)))
    return (refined if scaled == "refined" else x) * spatial


def _spatial_first(x: Tensor, mlp: Callable[[Tensor], Tensor], conv: Callable[[Tensor], Tensor]) -> Tensor:
    x = x * torch.sigmoid(conv(pool_channels(x)))
    return x * torch.sigmoid(mlp(x.mean(dim=(2, 3))) + mlp(x.amax(dim=(2, 3))))[:, :, None, None]


def _attend(x: Tensor, scale: float | None = None) -> Tensor:
    return (x @ x.mT / (x.shape[-1] ** 0.5 if scale is None else scale)).softmax(dim=-1) @ x


def _mixed(branches: Tensor, shares: Tensor) -> Tensor:
    return (branches * shares[..., None, None]).sum(dim=1)


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
            "stacked along the rows": lambda x: torch.cat(
                [x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=2
            ),
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
        _draw_branches,
        mistakes={
            "softmax runs over the channels": lambda b, logits: _mixed(b, logits.softmax(dim=2)),
            "softmax twice": lambda b, logits: _mixed(b, logits.softmax(dim=1).softmax(dim=1)),
            "softmax over branches and channels": lambda b, logits: _mixed(
                b, logits.flatten(1).softmax(1).view_as(logits)
            ),
            "a sigmoid for each branch": lambda b, logits: _mixed(b, logits.sigmoid()),
            "the logits as shares": _mixed,
            "softmax runs over the images": lambda b, logits: _mixed(b, logits.softmax(dim=0)),
            "averaged the branches": lambda b, logits: mix_branches(b, logits) / b.shape[1],
            "one share for all channels": lambda b, logits: mix_branches(
                b, logits.mean(dim=2, keepdim=True).expand_as(logits)
            ),
            "the strongest branch alone": lambda b, logits: _mixed(
                b, F.one_hot(logits.argmax(1), logits.shape[1]).movedim(2, 1)
            ),
        },
    ),
    Task(
        attend_over_time,
        lambda draw: (_draw_clip(draw),),
        mistakes={
            "attended within each frame": _attend,
            "reshaped without a transpose": lambda x: _attend(x.reshape(len(x), x.shape[2], x.shape[1], -1)).view_as(x),
            "reshaped back without a transpose": lambda x: _attend(x.transpose(1, 2)).reshape(x.shape),
            "joint attention": lambda x: _attend(x.flatten(1, 2)).view_as(x),
            "forgot to divide": lambda x: _attend(x.transpose(1, 2), 1.0).transpose(1, 2),
            "divided by the root of T": lambda x: _attend(x.transpose(1, 2), x.shape[1] ** 0.5).transpose(1, 2),
            "divided by the root of S": lambda x: _attend(x.transpose(1, 2), x.shape[2] ** 0.5).transpose(1, 2),
            "divided by D": lambda x: _attend(x.transpose(1, 2), x.shape[3]).transpose(1, 2),
            "softmax over the queries": lambda x: (
                (x.transpose(1, 2) @ x.permute(0, 2, 3, 1) / x.shape[3] ** 0.5).softmax(dim=2) @ x.transpose(1, 2)
            ).transpose(1, 2),
            "did not move time": lambda x: _attend(x.transpose(1, 2)),
            "added the input": lambda x: x + attend_over_time(x),
        },
    ),
    Task(
        repaired_cbam,
        _draw_cbam,
        mistakes={
            "the code as it was": lambda *inputs: _cbam(*inputs, second="mean", pooled="mean, max", over="input"),
            "the mean twice is left": lambda *inputs: _cbam(*inputs, second="mean"),
            "the order of the maps is left": lambda *inputs: _cbam(*inputs, pooled="mean, max"),
            "the input of the spatial part is left": lambda *inputs: _cbam(*inputs, over="input"),
            "only the largest value is corrected": lambda *inputs: _cbam(*inputs, pooled="mean, max", over="input"),
            "only the order of the maps is corrected": lambda *inputs: _cbam(*inputs, second="mean", over="input"),
            "only the input of the spatial part is corrected": lambda *inputs: _cbam(
                *inputs, second="mean", pooled="mean, max"
            ),
            "multiplied the input": lambda *inputs: _cbam(*inputs, scaled="input"),
            "the spatial part first": _spatial_first,
        },
    ),
)
