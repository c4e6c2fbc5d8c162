"""The exercises of lesson 4.6: CBAM's two parts, branches that compete, and attention along time."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake


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


def _attend(x: Tensor, scale: float) -> Tensor:
    return (x @ x.transpose(-2, -1) / scale).softmax(dim=-1) @ x


POOL = Exercise(
    lesson="4.6",
    official=pool_channels,
    draw=lambda draw: (_draw_map(draw),),
    minutes=3,
    difficulty=1,
    axes=("image", "max or mean", "row", "column"),
    hints=(
        "In SE the positions were pooled away. Here the positions stay, and another axis goes.",
        "`x.amax(dim=1)` and `x.mean(dim=1)` have the shape (N, H, W).",
        "`torch.stack([...], dim=1)` puts two maps (N, H, W) side by side on a new axis 1.",
    ),
    takeaway="Two maps are all that the spatial part sees: which channel is large somewhere is gone, that one is large "
    "is not.",
    mistakes=(
        Mistake(
            "You stacked [mean, max], as the paper and timm do; the release and this course stack [max, mean].",
            lambda x: torch.stack([x.mean(dim=1), x.amax(dim=1)], dim=1),
        ),
        Mistake(
            "You pooled over rows and columns, as the channel part does; the spatial part pools over channels, axis 1.",
            lambda x: torch.stack([x.amax(dim=(2, 3)), x.mean(dim=(2, 3))], dim=1),
        ),
        Mistake(
            "You stacked the two maps on a new axis 0, before the images; the new axis belongs at place 1.",
            lambda x: torch.stack([x.amax(dim=1), x.mean(dim=1)]),
        ),
        Mistake(
            "You took the largest magnitude; CBAM takes the largest value, and -3 is smaller than 1.",
            lambda x: torch.stack([x.abs().amax(dim=1), x.mean(dim=1)], dim=1),
        ),
        Mistake(
            "You summed over the channels in the second map; divide by their number.",
            lambda x: torch.stack([x.amax(dim=1), x.sum(dim=1)], dim=1),
        ),
        Mistake(
            "You stacked the smallest value and the mean; the first map is the largest.",
            lambda x: torch.stack([x.amin(dim=1), x.mean(dim=1)], dim=1),
        ),
        Mistake(
            "Your two maps stand one above the other in the rows; they are two channels: join them on axis 1.",
            lambda x: torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=2),
        ),
    ),
)

COUNT = Exercise(
    lesson="4.6",
    official=count_scores,
    draw=lambda draw: (draw.integer(3, 16), draw.integer(20, 200)),
    minutes=4,
    difficulty=1,
    parts=("joint", "divided"),
    hints=(
        "How many tokens are there? And how many keys has each of them, in each kind of attention?",
        "Joint: every token has T * S keys. Divided: T keys in the first step and S in the second.",
        "With n = T * S tokens: n * n, and n * (T + S).",
    ),
    takeaway="Twice the frames: four times the joint scores, but little more than twice the divided ones while the "
    "frames are few beside the places.",
    mistakes=(
        Mistake(
            "You counted the scores of one query; multiply by the number of queries, T * S.",
            lambda t, s: (t * s, t + s),
        ),
        Mistake(
            "You let joint attention stay inside each frame; there every token meets every token of every frame.",
            lambda t, s: (t * s * s, t * s * (t + s)),
        ),
        Mistake(
            "You counted the second step of divided attention only: T frames with S * S scores each. The first adds "
            "S * T * T.",
            lambda t, s: ((t * s) ** 2, t * s * s),
        ),
        Mistake(
            "You multiplied the keys of the two steps of divided attention; the steps follow each other, so they add.",
            lambda t, s: ((t * s) ** 2, (t * s) * (t * s)),
        ),
        Mistake(
            "You counted the first step of divided attention for one place and the second for one frame; every place "
            "takes the first, every frame the second.",
            lambda t, s: ((t * s) ** 2, t * t + s * s),
        ),
        Mistake(
            "You counted each pair of tokens once; query and key are two roles, so a score each way.",
            lambda t, s: (t * s * (t * s + 1) // 2, t * s * (t + s)),
        ),
        Mistake(
            "You gave the two numbers in the other order; joint comes first.",
            lambda t, s: (t * s * (t + s), (t * s) ** 2),
        ),
    ),
)

GATES = Exercise(
    lesson="4.6",
    official=cbam_channel_gates,
    draw=_draw_gates,
    minutes=5,
    difficulty=2,
    axes=("image", "channel"),
    hints=(
        "The same layers see two descriptions of the image. When do the two answers meet?",
        "They are added while they are still logits, before the sigmoid.",
        "One sigmoid, of mlp(mean) + mlp(largest).",
    ),
    takeaway="Added before the sigmoid, both descriptions are votes: a strong yes from one can outweigh a no from the "
    "other, and the gate stays between 0 and 1.",
    mistakes=(
        Mistake(
            "You added two sigmoids, so a gate can reach 2; add first, then one sigmoid.",
            lambda mean, largest, mlp: mlp(mean).sigmoid() + mlp(largest).sigmoid(),
        ),
        Mistake(
            "You averaged two sigmoids; CBAM adds the logits and takes one sigmoid of the sum.",
            lambda mean, largest, mlp: (mlp(mean).sigmoid() + mlp(largest).sigmoid()) / 2,
        ),
        Mistake(
            "You multiplied two sigmoids; CBAM adds the logits and takes one sigmoid of the sum.",
            lambda mean, largest, mlp: mlp(mean).sigmoid() * mlp(largest).sigmoid(),
        ),
        Mistake(
            "You averaged the two logits; they are added.",
            lambda mean, largest, mlp: torch.sigmoid((mlp(mean) + mlp(largest)) / 2),
        ),
        Mistake(
            "You added mean and largest value before the layers; each goes through them alone, since a ReLU is inside.",
            lambda mean, largest, mlp: torch.sigmoid(mlp(mean + largest)),
        ),
        Mistake(
            "You added the answer for the mean twice, as a survey's code does; the second is for the largest value.",
            lambda mean, largest, mlp: torch.sigmoid(mlp(mean) + mlp(mean)),
        ),
        Mistake(
            "You used the mean alone: that is SE.",
            lambda mean, largest, mlp: torch.sigmoid(mlp(mean)),
        ),
        Mistake("You forgot the sigmoid.", lambda mean, largest, mlp: mlp(mean) + mlp(largest)),
    ),
)

MIX = Exercise(
    lesson="4.6",
    official=mix_branches,
    draw=_draw_branches,
    minutes=6,
    difficulty=2,
    axes=("image", "channel", "row", "column"),
    hints=(
        "In each channel the shares of the branches sum to 1. Over which axis of (N, B, C) does the softmax run?",
        "Over axis 1. Then bring the shares from (N, B, C) to (N, B, C, 1, 1) and multiply.",
        "Sum the product over axis 1, the branches.",
    ),
    takeaway="A softmax across the branches is a choice: what one kernel gains, the other loses, in each channel for "
    "itself.",
    mistakes=(
        Mistake(
            "Your softmax runs over the channels; they do not compete. It runs over the branches, axis 1.",
            lambda b, logits: (b * logits.softmax(dim=2)[..., None, None]).sum(dim=1),
        ),
        Mistake(
            "You opened each branch by a sigmoid on its own; the branches compete, by a softmax over axis 1.",
            lambda b, logits: (b * logits.sigmoid()[..., None, None]).sum(dim=1),
        ),
        Mistake(
            "You used the logits as they are; make shares of them, by a softmax over axis 1.",
            lambda b, logits: (b * logits[..., None, None]).sum(dim=1),
        ),
        Mistake(
            "Your softmax runs over the images; each image chooses for itself.",
            lambda b, logits: (b * logits.softmax(dim=0)[..., None, None]).sum(dim=1),
        ),
        Mistake(
            "You averaged the branches at the end; the shares already sum to 1, so add.",
            lambda b, logits: (b * logits.softmax(dim=1)[..., None, None]).mean(dim=1),
        ),
        Mistake(
            "You gave all channels of a branch one share; each channel has its own.",
            lambda b, logits: (b * logits.mean(dim=2).softmax(dim=1)[..., None, None, None]).sum(dim=1),
        ),
        Mistake(
            "You let the strongest branch win alone; the shares are soft, so that all of them learn.",
            lambda b, logits: (b * F.one_hot(logits.argmax(1), logits.shape[1]).movedim(2, 1)[..., None, None]).sum(1),
        ),
    ),
)

TIME = Exercise(
    lesson="4.6",
    official=attend_over_time,
    draw=lambda draw: (_draw_clip(draw),),
    minutes=8,
    difficulty=3,
    axes=("clip", "frame", "place", "feature"),
    hints=(
        "`a @ b` works on the last two axes; all before them are a batch. Which two axes should be last?",
        "`x.transpose(1, 2)` is (N, S, T, D): for each place a sequence of T tokens.",
        "scores = y @ y.transpose(2, 3) / sqrt(D) with y = x.transpose(1, 2); softmax over axis 3, times y, and back.",
    ),
    takeaway="Temporal attention is attention with the places moved into the batch. Spatial attention has the frames "
    "there, joint attention only the clips.",
    mistakes=(
        Mistake(
            "Your places look at one another within each frame: that is the spatial step. Move time to the place "
            "before the features.",
            lambda x: _attend(x, x.shape[3] ** 0.5),
        ),
        Mistake(
            "You reshaped (N, T, S, D) to N * S sequences without a transpose: that mixes places and frames. Use "
            "`transpose(1, 2)` first.",
            lambda x: _attend(x.reshape(x.shape[0], x.shape[2], x.shape[1], x.shape[3]), x.shape[3] ** 0.5).reshape(
                x.shape
            ),
        ),
        Mistake(
            "Every token looks at all T * S tokens: that is joint attention. A place should see only itself in time.",
            lambda x: _attend(x.flatten(1, 2), x.shape[3] ** 0.5).view_as(x),
        ),
        Mistake(
            "You forgot to divide the scores by sqrt(D).", lambda x: _attend(x.transpose(1, 2), 1.0).transpose(1, 2)
        ),
        Mistake(
            "You divided the scores by D; divide by its square root.",
            lambda x: _attend(x.transpose(1, 2), x.shape[3]).transpose(1, 2),
        ),
        Mistake(
            "Your weights sum to 1 over the queries; the softmax runs over the keys, the last axis of the scores.",
            lambda x: (
                (x.transpose(1, 2) @ x.permute(0, 2, 3, 1) / x.shape[3] ** 0.5).softmax(dim=2) @ x.transpose(1, 2)
            ).transpose(1, 2),
        ),
        Mistake(
            "You did not move time back: your result is (N, S, T, D). Transpose axes 1 and 2 once more.",
            lambda x: _attend(x.transpose(1, 2), x.shape[3] ** 0.5),
        ),
        Mistake(
            "You added the input; the residual belongs to the block round the attention, not here.",
            lambda x: x + attend_over_time(x),
        ),
    ),
)

REPAIR = Exercise(
    lesson="4.6",
    official=repaired_cbam,
    draw=_draw_cbam,
    minutes=8,
    difficulty=3,
    axes=("image", "channel", "row", "column"),
    hints=(
        "There are three mistakes. Write beside each line what it should be given, and compare.",
        "One description of the channels is used twice. The convolution was trained on [max, mean].",
        "And the spatial part must pool the map that the channel part has already scaled.",
    ),
    takeaway="None of the three raises an error, and a network trained with them still learns. They show when weights "
    "trained elsewhere are loaded: the answers are off, and nothing says why.",
    mistakes=(
        Mistake(
            "The code is as it was: look at the second term of the channel mask, at the order of the two maps, and at "
            "the map that they are made of.",
            lambda *inputs: _cbam(*inputs, second="mean", pooled="mean, max", over="input"),
        ),
        Mistake(
            "Two are found. The channel mask still uses the mean twice; the second is the largest value.",
            lambda *inputs: _cbam(*inputs, second="mean"),
        ),
        Mistake(
            "Two are found. The convolution still gets [mean, max], but its weights are for [max, mean].",
            lambda *inputs: _cbam(*inputs, pooled="mean, max"),
        ),
        Mistake(
            "Two are found. The spatial part still pools the input; it should pool what the channel part has scaled.",
            lambda *inputs: _cbam(*inputs, over="input"),
        ),
        Mistake(
            "One is found, the largest value. The spatial part has two more: its order and its input.",
            lambda *inputs: _cbam(*inputs, pooled="mean, max", over="input"),
        ),
        Mistake(
            "One is found, the order of the maps. The second term of the channel mask is still wrong, and so is the "
            "input of the spatial part.",
            lambda *inputs: _cbam(*inputs, second="mean", over="input"),
        ),
        Mistake(
            "One is found, the input of the spatial part. The second term of the channel mask is still wrong, and so "
            "is the order of the maps.",
            lambda *inputs: _cbam(*inputs, second="mean", pooled="mean, max"),
        ),
        Mistake(
            "You multiplied the input by the spatial mask, so the channel mask is lost; multiply the scaled map.",
            lambda *inputs: _cbam(*inputs, scaled="input"),
        ),
        Mistake("You put the spatial part first; CBAM begins with the channels.", _spatial_first),
    ),
)

EXERCISES = (POOL, COUNT, GATES, MIX, TIME, REPAIR)
