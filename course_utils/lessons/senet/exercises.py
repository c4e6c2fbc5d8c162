"""The exercises of lesson 4.1.1: squeeze, excite, scale, and what can go wrong round them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake


def squeeze(x: Tensor) -> Tensor:
    """Describe each channel by its mean over all positions: (N, C, H, W) -> (N, C)."""
    return x.mean(dim=(2, 3))


def excite(
    squeezed: Tensor, reduce_weight: Tensor, reduce_bias: Tensor, expand_weight: Tensor, expand_bias: Tensor
) -> Tensor:
    """Make a gate for each channel: squeezed (N, C) -> gates (N, C), each in (0, 1).

    The weights have the shapes of `nn.Linear`: reduce (C // r, C), expand (C, C // r).
    """
    hidden = F.relu(F.linear(squeezed, reduce_weight, reduce_bias))  # (N, C // r)
    return torch.sigmoid(F.linear(hidden, expand_weight, expand_bias))  # (N, C)


def scale(x: Tensor, gates: Tensor) -> Tensor:
    """Multiply every map by its channel's gate: x (N, C, H, W), gates (N, C) -> (N, C, H, W)."""
    return x * gates[:, :, None, None]


def count_se_parameters(channels: int, reduction: int, bias: bool) -> int:
    """Count the parameters of one SE block: two linear layers, C -> C // r -> C, with or without biases."""
    hidden = channels // reduction
    weights = 2 * channels * hidden
    biases = hidden + channels if bias else 0
    return weights + biases


def find_dead_blocks(blocks: list[tuple[int, int]]) -> list[int]:
    """Find the SE blocks whose gates cannot depend on the picture: their indices in a list of (channels, reduction)."""
    return [place for place, (channels, reduction) in enumerate(blocks) if channels // reduction == 0]


def se_residual(x: Tensor, branch: Callable[[Tensor], Tensor], se: Callable[[Tensor], Tensor]) -> Tensor:
    """Run a residual block with SE: x (N, C, H, W) -> (N, C, H, W), with a ReLU at the end.

    `branch` stands for the block's convolutions, `se` for its SE block; both keep the shape.
    """
    return F.relu(x + se(branch(x)))


def _draw_map(draw: Draw) -> Tensor:
    return draw.normal(draw.integer(2, 3), draw.integer(4, 6), draw.integer(5, 6), draw.integer(7, 8), mean=0.5)


def _draw_excite(draw: Draw) -> Inputs:
    channels, hidden = draw.integer(6, 8), draw.integer(3, 4)
    return (
        draw.normal(draw.integer(2, 3), channels),
        draw.normal(hidden, channels, std=channels**-0.5),
        draw.normal(hidden, std=0.5),
        draw.normal(channels, hidden, std=hidden**-0.5),
        draw.normal(channels, std=0.5),
    )


def _draw_scale(draw: Draw) -> Inputs:
    x = _draw_map(draw)
    return x, draw.uniform(*x.shape[:2], low=0.1, high=0.9)


def _draw_count(draw: Draw) -> Inputs:
    reduction = draw.choice((3, 4, 8, 16))
    return reduction * draw.integer(2, 20) + draw.integer(1, reduction - 1), reduction, draw.choice((True, False))


def _draw_blocks(draw: Draw) -> Inputs:
    dead = [(draw.integer(3, 15), 16), (draw.integer(3, 7), 8), (draw.integer(2, 3), 4)]
    alive = [(16, 16), (8, 8), (8 * draw.integer(2, 8), 8), (4 * draw.integer(5, 9) + draw.integer(1, 3), 4)]
    return (draw.shuffled([*dead[: draw.integer(2, 3)], *alive]),)


def _draw_residual(draw: Draw) -> Inputs:
    channels = draw.integer(4, 5)
    x = draw.normal(2, channels, 6, 6)
    kernels = draw.normal(channels, channels, 3, 3, std=(9 * channels) ** -0.5)
    reduce, expand = draw.normal(2, channels), draw.normal(channels, 2)

    def branch(x: Tensor) -> Tensor:
        return F.conv2d(x, kernels, padding=1)

    def se(x: Tensor) -> Tensor:
        gates = torch.sigmoid(F.linear(F.relu(F.linear(x.mean(dim=(2, 3)), reduce)), expand))
        return x * gates[:, :, None, None]

    return x, branch, se


SQUEEZE = Exercise(
    lesson="4.1.1",
    official=squeeze,
    draw=lambda draw: (_draw_map(draw),),
    minutes=3,
    difficulty=1,
    axes=("picture", "channel"),
    hints=(
        "The four axes of `x` are picture, channel, row, column. Which two should be gone?",
        "`x.mean(dim=...)` takes one axis or a tuple of axes.",
        "Rows are axis 2 and columns axis 3: average over both at once.",
    ),
    takeaway="Each channel is one number now: where in the map a value stood is forgotten, how large it was is not.",
    mistakes=(
        Mistake("You took the largest value of each map; the squeeze takes the mean.", lambda x: x.amax(dim=(2, 3))),
        Mistake(
            "You summed over the positions; divide by their number, so that a larger picture has no larger squeeze.",
            lambda x: x.sum(dim=(2, 3)),
        ),
        Mistake(
            "You kept the rows and columns as axes of length 1; leave out `keepdim=True`.",
            lambda x: x.mean(dim=(2, 3), keepdim=True),
        ),
        Mistake(
            "You averaged over the channels, axis 1; keep them, and average over rows and columns.",
            lambda x: x.mean(dim=1),
        ),
        Mistake(
            "You averaged over the pictures of the batch too; each picture needs its own squeeze.",
            lambda x: x.mean(dim=(0, 2, 3)),
        ),
        Mistake(
            "You averaged over axes 1 and 2, as if the channels came last; in PyTorch they are axis 1.",
            lambda x: x.mean(dim=(1, 2)),
        ),
        Mistake("You averaged over the columns only; the rows, axis 2, are still there.", lambda x: x.mean(dim=3)),
    ),
)

EXCITE = Exercise(
    lesson="4.1.1",
    official=excite,
    draw=_draw_excite,
    minutes=8,
    difficulty=2,
    axes=("picture", "channel"),
    hints=(
        "There are four steps: a linear layer, ReLU, a linear layer, sigmoid.",
        "`F.linear(x, weight, bias)` is a linear layer with the weights you hand it; do not transpose them.",
        "hidden = ReLU(linear(squeezed, reduce...)); the gates are the sigmoid of linear(hidden, expand...).",
    ),
    takeaway="These are SE's gates. Each depends on all channels of its picture, since both layers see all of them.",
    mistakes=(
        Mistake(
            "You forgot the ReLU between the two layers; without it they collapse into one linear layer.",
            lambda s, w, b, v, c: torch.sigmoid(F.linear(F.linear(s, w, b), v, c)),
        ),
        Mistake(
            "You forgot the sigmoid at the end; a gate must lie between 0 and 1.",
            lambda s, w, b, v, c: F.linear(F.relu(F.linear(s, w, b)), v, c),
        ),
        Mistake(
            "You ended with a softmax, so the channels compete for a sum of 1; "
            "SE opens each gate on its own, by a sigmoid.",
            lambda s, w, b, v, c: F.linear(F.relu(F.linear(s, w, b)), v, c).softmax(dim=1),
        ),
        Mistake(
            "You used a sigmoid between the two layers; the middle one is a ReLU.",
            lambda s, w, b, v, c: torch.sigmoid(F.linear(torch.sigmoid(F.linear(s, w, b)), v, c)),
        ),
        Mistake(
            "You put a ReLU before the last sigmoid too, so no gate can fall below 0.5.",
            lambda s, w, b, v, c: torch.sigmoid(F.relu(F.linear(F.relu(F.linear(s, w, b)), v, c))),
        ),
        Mistake(
            "You left out both biases.",
            lambda s, w, b, v, c: torch.sigmoid(F.linear(F.relu(F.linear(s, w)), v)),
        ),
        Mistake(
            "You left out the bias of the first layer, `reduce_bias`.",
            lambda s, w, b, v, c: torch.sigmoid(F.linear(F.relu(F.linear(s, w)), v, c)),
        ),
        Mistake(
            "You left out the bias of the second layer, `expand_bias`.",
            lambda s, w, b, v, c: torch.sigmoid(F.linear(F.relu(F.linear(s, w, b)), v)),
        ),
    ),
)

SCALE = Exercise(
    lesson="4.1.1",
    official=scale,
    draw=_draw_scale,
    minutes=3,
    difficulty=1,
    axes=("picture", "channel", "row", "column"),
    hints=(
        "One gate stands for a whole map: it must be repeated over rows and columns.",
        "Broadcasting repeats axes of length 1: bring the gates from (N, C) to (N, C, 1, 1).",
        "`gates[:, :, None, None]` has that shape; multiply `x` by it.",
    ),
    takeaway="This is f in f(g(x), x): a product. The mask itself stays small, one number a channel.",
    mistakes=(
        Mistake("You added the gates; f multiplies by them.", lambda x, gates: x + gates[:, :, None, None]),
        Mistake(
            "You multiplied by 1 + gate, as if a residual were inside; SE multiplies by the gate alone.",
            lambda x, gates: x * (1 + gates[:, :, None, None]),
        ),
        Mistake(
            "You used the gates of the first picture for the whole batch; each picture has its own.",
            lambda x, gates: x * gates[:1, :, None, None],
        ),
        Mistake(
            "You averaged the gates over the batch; each picture has its own.",
            lambda x, gates: x * gates.mean(dim=0)[:, None, None],
        ),
        Mistake(
            "You put the gates through a sigmoid again; `excite` has done that.",
            lambda x, gates: x * torch.sigmoid(gates)[:, :, None, None],
        ),
        Mistake(
            "You returned the gates, repeated over rows and columns, without `x`.",
            lambda x, gates: gates[:, :, None, None].expand_as(x),
        ),
    ),
)

COUNT = Exercise(
    lesson="4.1.1",
    official=count_se_parameters,
    draw=_draw_count,
    minutes=5,
    difficulty=2,
    hints=(
        "A linear layer from a to b units has a * b weights and, with biases, b more.",
        "The middle has `channels // reduction` units, rounded down.",
        "With h units in the middle: C * h + h * C weights, and h + C biases.",
    ),
    takeaway="About 2 C² / r. The wide last stages of a network pay most: C counts squared.",
    mistakes=(
        Mistake(
            "You counted one layer; there are two, C -> C // r and back.",
            lambda c, r, bias: c * (c // r) + (c // r if bias else 0),
        ),
        Mistake("You left out the biases where `bias` is True.", lambda c, r, bias: 2 * c * (c // r)),
        Mistake(
            "You counted biases where `bias` is False.",
            lambda c, r, bias: 2 * c * (c // r) + c // r + c,
        ),
        Mistake(
            "You divided with `/`: a layer has no fraction of a unit, `channels // reduction` rounds down.",
            lambda c, r, bias: 2 * c * (c / r) + (c / r + c if bias else 0),
        ),
        Mistake(
            "You rounded at the end; round down the number of middle units first, then multiply.",
            lambda c, r, bias: int(2 * c * (c / r) + (c / r + c if bias else 0)),
        ),
        Mistake(
            "You gave both layers as many biases as the first one; the second has `channels` of them.",
            lambda c, r, bias: 2 * c * (c // r) + (2 * (c // r) if bias else 0),
        ),
    ),
)

FIND_DEAD = Exercise(
    lesson="4.1.1",
    official=find_dead_blocks,
    draw=_draw_blocks,
    minutes=5,
    difficulty=2,
    hints=(
        "How many units has the middle layer of a block with 12 channels and r = 16?",
        "A block is dead if `channels // reduction` is 0: no unit, no weight, so no picture can move a gate.",
        "`enumerate(blocks)` gives each block with its place.",
    ),
    takeaway="A gate that never moves raises no error, and the next layer makes up for it: nobody notices. "
    "That is why `SEBlock` refuses such a width.",
    mistakes=(
        Mistake(
            "You took the blocks whose channels are no multiple of the reduction; "
            "a remainder is harmless, the width is only rounded down.",
            lambda blocks: [i for i, (c, r) in enumerate(blocks) if c % r],
        ),
        Mistake(
            "You took blocks with channels = reduction for dead; they keep one unit in the middle, and it learns.",
            lambda blocks: [i for i, (c, r) in enumerate(blocks) if c <= r],
        ),
        Mistake(
            "You returned a True or False for each block; return the places of the dead ones.",
            lambda blocks: [c // r == 0 for c, r in blocks],
        ),
        Mistake(
            "You returned the dead blocks themselves; return their places in the list.",
            lambda blocks: [(c, r) for c, r in blocks if c // r == 0],
        ),
        Mistake("You stopped at the first dead block.", lambda blocks: find_dead_blocks(blocks)[:1]),
        Mistake(
            "You counted the places from 1; count from 0.", lambda blocks: [i + 1 for i in find_dead_blocks(blocks)]
        ),
        Mistake(
            "You returned the blocks that work.",
            lambda blocks: [i for i, (c, r) in enumerate(blocks) if c // r],
        ),
    ),
)

RESIDUAL = Exercise(
    lesson="4.1.1",
    official=se_residual,
    draw=_draw_residual,
    minutes=6,
    difficulty=3,
    axes=("picture", "channel", "row", "column"),
    hints=(
        "Without SE the block is ReLU(x + branch(x)). SE gates what the branch adds.",
        "The shortcut carries `x` as it is: no gate may touch it.",
        "First `branch`, then `se`, then add `x`, then ReLU.",
    ),
    takeaway="SE gates what the branch adds, so the shortcut stays free. In the comparison of places in the "
    "paper's journal version, gating after the addition had a clearly higher top-1 error; the others were about as "
    "good.",
    mistakes=(
        Mistake(
            "You gated the sum; put SE before the addition, so that the shortcut stays free.",
            lambda x, branch, se: F.relu(se(x + branch(x))),
        ),
        Mistake(
            "You gated after the last ReLU; put SE on the branch, before the addition.",
            lambda x, branch, se: se(F.relu(x + branch(x))),
        ),
        Mistake(
            "You gated the shortcut; gate the branch, and leave `x` as it is.",
            lambda x, branch, se: F.relu(se(x) + branch(x)),
        ),
        Mistake(
            "You put SE before the convolutions; it comes after them.",
            lambda x, branch, se: F.relu(x + branch(se(x))),
        ),
        Mistake("You forgot the shortcut: add `x`.", lambda x, branch, se: F.relu(se(branch(x)))),
        Mistake("You forgot the ReLU at the end.", lambda x, branch, se: x + se(branch(x))),
        Mistake(
            "You put the ReLU on the branch; it comes after the addition.",
            lambda x, branch, se: x + F.relu(se(branch(x))),
        ),
        Mistake(
            "You multiplied by se(...), but what it returns is already multiplied by its gates.",
            lambda x, branch, se: F.relu(x + branch(x) * se(branch(x))),
        ),
        Mistake("You left SE out.", lambda x, branch, se: F.relu(x + branch(x))),
    ),
)

EXERCISES = (SQUEEZE, SCALE, EXCITE, COUNT, FIND_DEAD, RESIDUAL)
