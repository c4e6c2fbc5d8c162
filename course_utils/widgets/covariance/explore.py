"""The lesson's widget on covariances: channels with names, a task that no mean can solve, and two trained blocks."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...attention import AttentionBlock, GSoPBlock, SEBlock
from ...data import photograph
from ...models.page_graph import folded_norm
from ...names import check_name
from ..base import both_or_neither, image_bytes
from ..pictures import square_input
from .widget import Covariance

CHANNELS = ("red", "green", "blue", "spots", "edge —", "edge |", "edge /", "edge \\")
"""The channels that `named_channels` makes, in order."""

EXAMPLES = ("hens", "coffee", "kitten", "two spots")
"""The pictures that `example_channels` knows."""

_RED, _GREEN = 0, 1
_TRAINED_ON = ("astronaut", "chelsea", "cow", "german_shepherd", "owl", "sheep")
_SIDE, _TRAINING_SIDE, _CROP, _STEPS = 40, 120, 20, 150
_CHANGES = (  # across a line that lies, stands, rises, falls
    ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),
    ((1, 0, -1), (2, 0, -2), (1, 0, -1)),
    ((2, 1, 0), (1, 0, -1), (0, -1, -2)),
    ((0, 1, 2), (-1, 0, 1), (-2, -1, 0)),
)


def explore_covariance(
    se: SEBlock | None = None,
    gsop: GSoPBlock | None = None,
    *,
    example: str = "hens",
    moved: str = "green",
    leader: str = "red",
    turn: float = 0.0,
) -> Covariance:
    """Look at the covariances of named channels, rearrange one of them, and see what two blocks make of it.

    Args:
        se: a block for the 8 channels of `CHANNELS`; its mask is computed in the page from its weights.
        gsop: the same, with covariances. None for both: the two blocks of `trained_blocks`.
        example: which of `EXAMPLES` is shown first.
        moved: the channel whose values the slider moves.
        leader: the channel that they follow.
        turn: where the slider stands, from -1 to 1.

    Raises:
        ValueError: if only one block is given, a block is not for 8 channels, or a name is unknown.

    Example:
        >>> explore_covariance(example="coffee", turn=0.5)
    """
    check_name("example", example, EXAMPLES)
    for what, name in (("moved", moved), ("leader", leader)):
        check_name(what, name, CHANNELS)
    own = both_or_neither("explore_covariance", se=se, gsop=gsop)
    if se is None or gsop is None:
        se, gsop = trained_blocks()
    for block, channels in ((se, se.reduce.in_features), (gsop, gsop.reduce.in_channels)):
        if channels != len(CHANNELS):
            raise ValueError(
                f"{type(block).__name__} was built for {channels} channels, but there are {len(CHANNELS)}: "
                f"{', '.join(CHANNELS)}; build it for {len(CHANNELS)}."
            )
    blocks = "" if own else "se, gsop = trained_blocks()\n"
    return Covariance(
        examples=[
            {"label": name, "maps": example_channels(name), "code": f'example_channels("{name}")[None]'}
            for name in EXAMPLES
        ],
        names=CHANNELS,
        se=se_weights(se),
        gsop=gsop_weights(gsop),
        example=EXAMPLES.index(example),
        moved=CHANNELS.index(moved),
        leader=CHANNELS.index(leader),
        turn=turn,
        code="from course_utils.attention import covariance_pool\n"
        "from course_utils.widgets.covariance.explore import example_channels, rearrange, trained_blocks\n\n" + blocks,
    )


def named_channels(image: Tensor) -> Tensor:
    """What a few simple detectors see in a picture, as a feature map whose channels have names.

    Red, green and blue are the colours. A spot is brighter than its 3 x 3 neighbourhood; an edge is a change of
    brightness across a line that lies, stands, rises or falls. No value is negative, as after a ReLU.

    Args:
        image: (3, H, W), values in [0, 1].

    Returns:
        (8, H, W), in the order of `CHANNELS`, values in [0, 1].
    """
    grey = F.pad(image.mean(0)[None, None], (1, 1, 1, 1), mode="replicate")
    changes = torch.tensor(_CHANGES, dtype=image.dtype)[:, None] / 8
    edges = F.conv2d(grey, changes)[0].abs() * 4
    spots = (grey[0, :, 1:-1, 1:-1] - F.avg_pool2d(grey, 3, 1)[0]) * 6
    return torch.cat([image, spots, edges]).clamp(0, 1)


def example_channels(name: str) -> Tensor:
    """The channels of a picture of the lesson: (8, 40, 40).

    Args:
        name: one of `EXAMPLES`; "two spots" is drawn, the others are photographs.

    Raises:
        ValueError: for an unknown name.
    """
    check_name("example", name, EXAMPLES)
    return named_channels(_two_spots(_SIDE) if name == "two spots" else _square(name, _SIDE))


def rearrange(x: Tensor, moved: int, leader: int, turn: float | Tensor) -> Tensor:
    """Move one channel's values to other places, so that it follows or avoids another; no value changes.

    Every value is ranked within its map. Places are filled in the order of `(1 - |turn|) * rank` of the moved channel
    plus `turn * rank` of the leader. So at 1 the largest value stands where the leader is largest, at -1 where it is
    smallest, and at 0 nothing has moved.

    Args:
        x: (N, C, H, W).
        moved: the channel whose values move.
        leader: the channel that says where to.
        turn: from -1 to 1, one number or one for each image, (N,).

    Returns:
        (N, C, H, W), with every mean and every variance of x.
    """
    values, lead = x[:, moved].flatten(1), x[:, leader].flatten(1)  # (N, M)
    turns = torch.as_tensor(turn, dtype=torch.float64).reshape(-1, 1)
    order = (1 - turns.abs()) * _ranks(values) + turns * _ranks(lead)
    places = order.argsort(dim=1, stable=True)
    result = x.clone()
    result[:, moved] = torch.empty_like(values).scatter_(1, places, values.sort(dim=1).values).view_as(x[:, moved])
    return result


def colour_pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two yes-or-no questions on crops of photographs: one that means can answer, and one that they cannot.

    The first: is the crop bright, that is, is the mean of its colours above the median of all crops? The second: does
    green follow red, or flee it? Each crop comes twice, with green rearranged after red and away from it.

    Args:
        count: how many crops.
        seed: of the crops and of how far green is moved.

    Returns:
        Channels (2 * count, 8, 20, 20) and answers (2 * count, 2) of 0 and 1. The two of a pair stand together.
    """
    generator = torch.Generator().manual_seed(seed)
    maps = _training_maps()
    places = torch.randint(_TRAINING_SIDE - _CROP + 1, (count, 2), generator=generator).tolist()
    chosen = torch.randint(len(maps), (count,), generator=generator).tolist()
    crops = torch.stack([maps[k][:, i : i + _CROP, j : j + _CROP] for k, (i, j) in zip(chosen, places, strict=True)])
    turn = 0.4 + 0.6 * torch.rand(count, generator=generator)
    both = [rearrange(crops, _GREEN, _RED, sign * turn) for sign in (-1, 1)]
    brightness = crops[:, :3].mean(dim=(1, 2, 3))
    bright = (brightness > brightness.median()).repeat_interleave(2)
    follows = torch.arange(2).repeat(count)
    return torch.stack(both, dim=1).flatten(0, 1), torch.stack([bright, follows], dim=1).float()


def train_on_pairs(block: AttentionBlock) -> tuple[float, float]:
    """Train a block so that a linear layer on its gates answers both questions of `colour_pairs`.

    Args:
        block: for 8 channels; it is trained in place, with 150 batches of 32, and left in eval mode.

    Returns:
        The shares of 400 new pictures for which the first and the second answer are right.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = nn.Linear(len(CHANNELS), 2)
    generator = torch.Generator().manual_seed(0)
    x, answers = colour_pairs(240, seed=0)
    optimizer = torch.optim.Adam([*block.train().parameters(), *head.parameters()], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        pairs = torch.randint(len(x) // 2, (16, 1), generator=generator)
        batch = (2 * pairs + torch.arange(2)).flatten()
        gates = block.mask(x[batch]).flatten(1)  # (32, 8): all that the head sees
        calm = (gates - 0.5).square().mean()  # a gate that need not move stays in the middle
        loss = F.binary_cross_entropy_with_logits(head(gates), answers[batch]) + calm
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    block.eval()
    x, answers = colour_pairs(200, seed=1)
    with torch.no_grad():
        right = (head(block.mask(x).flatten(1)) > 0) == answers.bool()
    bright, follows = right.float().mean(dim=0).tolist()
    return bright, follows


@functools.cache
def trained_blocks() -> tuple[SEBlock, GSoPBlock]:
    """An `SEBlock` and a `GSoPBlock` for the 8 channels, both trained by `train_on_pairs`; this takes some seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        se, gsop = SEBlock(len(CHANNELS), reduction=1), GSoPBlock(len(CHANNELS), reduced_channels=6)
    for block in (se, gsop):
        train_on_pairs(block)
    return se, gsop


def se_weights(block: SEBlock) -> dict[str, Tensor]:
    """What the page needs to compute the block's mask."""
    return {
        "reduce_weight": block.reduce.weight,
        "reduce_bias": _bias(block.reduce),
        "expand_weight": block.expand.weight,
        "expand_bias": _bias(block.expand),
    }


def gsop_weights(block: GSoPBlock) -> dict[str, Tensor]:
    """What the page needs to compute the block's mask in eval mode, both batch norms folded into their neighbours."""
    scale, shift = folded_norm(block.norm)
    row_scale, row_shift = folded_norm(block.row_norm)
    rows = len(row_scale)
    kernels = block.row_conv.weight.view(rows, -1, rows)  # (d, expansion, d)
    return {
        "reduce_weight": block.reduce.weight.flatten(1) * scale[:, None],  # (d, C)
        "reduce_bias": _bias(block.reduce) * scale + shift,
        "row_weight": kernels * row_scale[:, None, None],
        "row_bias": _bias(block.row_conv).view(rows, -1) + row_shift[:, None] * kernels.sum(dim=2),
        "expand_weight": block.expand.weight,
        "expand_bias": _bias(block.expand),
    }


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(dim=1, stable=True).argsort(dim=1).double()


def _square(name: str, side: int) -> Tensor:
    return square_input(image_bytes(photograph(name)), side)


def _two_spots(side: int) -> Tensor:
    """A red and a green spot on black, apart from each other, and a faint blue one between them."""
    row, column = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    spots = [
        peak * torch.exp(-((row - y) ** 2 + (column - x) ** 2) / 0.02)
        for y, x, peak in ((0.35, 0.3, 1.0), (0.35, 0.7, 1.0), (0.7, 0.5, 0.6))
    ]
    return torch.stack(spots)


@functools.cache
def _training_maps() -> list[Tensor]:
    return [named_channels(_square(name, _TRAINING_SIDE)) for name in _TRAINED_ON]
