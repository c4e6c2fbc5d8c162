"""The exercises of lesson 4.1.1: squeeze, excite, scale, and what can go wrong round them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Inputs
from ...check.tasks import Task


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


def _draw_scale(draw: Draw) -> Inputs:
    x = _draw_map(draw)
    return x, draw.uniform(*x.shape[:2], low=0.1, high=0.9)


def _draw_count(draw: Draw) -> Inputs:
    reduction = draw.choice((3, 4, 8, 16))
    hidden = draw.choice([n for n in range(2, 20) if n != reduction])
    rest = draw.choice([n for n in range(1, reduction) if n != hidden])
    return reduction * hidden + rest, reduction, draw.turn != 1


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


TASKS = (
    Task(
        squeeze,
        lambda draw: (_draw_map(draw),),
        mistakes={
            "took the largest value": lambda x: x.amax(dim=(2, 3)),
            "took the median": lambda x: x.median(-1).values.median(-1).values,
            "one number for each picture": lambda x: x.mean(dim=(1, 2, 3)),
            "summed over the positions": lambda x: x.sum(dim=(2, 3)),
            "kept the axes": lambda x: x.mean(dim=(2, 3), keepdim=True),
            "averaged over the channels": lambda x: x.mean(dim=1),
            "averaged over the pictures": lambda x: x.mean(dim=(0, 2, 3)),
            "as if channels came last": lambda x: x.mean(dim=(1, 2)),
            "averaged over the columns": lambda x: x.mean(dim=3),
        },
    ),
    Task(
        scale,
        _draw_scale,
        mistakes={
            "added the gates": lambda x, gates: x + gates[:, :, None, None],
            "one plus the gate": lambda x, gates: x * (1 + gates[:, :, None, None]),
            "the first picture's gates": lambda x, gates: x * gates[:1, :, None, None],
            "averaged the gates": lambda x, gates: x * gates.mean(dim=0)[:, None, None],
            "a second sigmoid": lambda x, gates: x * torch.sigmoid(gates)[:, :, None, None],
            "a softmax of the gates": lambda x, gates: x * gates.softmax(dim=1)[:, :, None, None],
            "the gates alone": lambda x, gates: gates[:, :, None, None].expand_as(x),
        },
    ),
    Task(
        excite,
        lambda draw: draw.normals(
            "N C", ("h C", 0.4), ("h", 0.5), ("C h", 0.55), ("C", 0.5), N=(2, 3), C=(6, 8), h=(3, 4)
        ),
        mistakes={
            "forgot the ReLU": {"F.relu": ""},
            "forgot the sigmoid": {"torch.sigmoid": ""},
            "ended with a softmax": {"torch.sigmoid(": "torch.softmax(", "expand_bias)": "expand_bias), dim=1"},
            "used a tanh": {"F.relu": "torch.tanh"},
            "a bias after the sigmoid": {", expand_bias))": ")) + expand_bias"},
            "used a sigmoid": {"F.relu": "torch.sigmoid"},
            "a ReLU before the sigmoid": {"torch.sigmoid(": "torch.sigmoid(F.relu(", "expand_bias))": "expand_bias)))"},
            "added both biases twice": {"_bias": "_bias * 2"},
            "left out both biases": {", reduce_bias": "", ", expand_bias": ""},
            "left out the bias of the first": {", reduce_bias": ""},
            "left out the bias of the second": {", expand_bias": ""},
        },
    ),
    Task(
        count_se_parameters,
        _draw_count,
        mistakes={
            "counted one layer": lambda c, r, bias: c * (c // r) + (c // r if bias else 0),
            "without biases": lambda c, r, bias: 2 * c * (c // r),
            "always biases": lambda c, r, bias: 2 * c * (c // r) + c // r + c,
            "fractions of a unit": lambda c, r, bias: 2 * c * (c / r) + (c / r + c if bias else 0),
            "rounded at the end": lambda c, r, bias: int(2 * c * (c / r) + (c / r + c if bias else 0)),
            "2 C biases": lambda c, r, bias: 2 * c * (c // r) + (2 * c if bias else 0),
            "biases of the first layer alone": lambda c, r, bias: 2 * c * (c // r) + c // r * bias,
            "biases of the second layer alone": lambda c, r, bias: 2 * c * (c // r) + c * bias,
            "rounded the products": lambda c, r, bias: 2 * (c * c // r) + (c // r + c if bias else 0),
            "equal biases in both layers": lambda c, r, bias: 2 * c * (c // r) + (2 * (c // r) if bias else 0),
        },
    ),
    Task(
        find_dead_blocks,
        _draw_blocks,
        mistakes={
            "a remainder": lambda blocks: [i for i, (c, r) in enumerate(blocks) if c % r],
            "equal to the reduction": lambda blocks: [i for i, (c, r) in enumerate(blocks) if c <= r],
            "True or False for each": lambda blocks: [c // r == 0 for c, r in blocks],
            "returned the dead blocks": lambda blocks: [(c, r) for c, r in blocks if c // r == 0],
            "only the first": lambda blocks: find_dead_blocks(blocks)[:1],
            "counted from 1": lambda blocks: [i + 1 for i in find_dead_blocks(blocks)],
            "the blocks that work": lambda blocks: [i for i, (c, r) in enumerate(blocks) if c // r],
        },
    ),
    Task(
        se_residual,
        _draw_residual,
        mistakes={
            "gated the sum": lambda x, branch, se: F.relu(se(x + branch(x))),
            "gated after the ReLU": lambda x, branch, se: se(F.relu(x + branch(x))),
            "gated the shortcut": lambda x, branch, se: F.relu(se(x) + branch(x)),
            "SE before the convolutions": lambda x, branch, se: F.relu(x + branch(se(x))),
            "forgot the shortcut": lambda x, branch, se: F.relu(se(branch(x))),
            "forgot the ReLU": lambda x, branch, se: x + se(branch(x)),
            "ReLU before SE": lambda x, branch, se: F.relu(x + se(F.relu(branch(x)))),
            "ReLU on the shortcut": lambda x, branch, se: F.relu(x) + se(branch(x)),
            "ReLU on the branch": lambda x, branch, se: x + F.relu(se(branch(x))),
            "multiplied twice": lambda x, branch, se: F.relu(x + branch(x) * se(branch(x))),
            "left SE out": lambda x, branch, se: F.relu(x + branch(x)),
        },
    ),
)
