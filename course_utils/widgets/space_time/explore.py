"""The lesson's widget on space-time attention: moving digits, seen by a trained network, joined to `SpaceTime`."""

import functools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...attention import SpaceTimeAttention
from ...attention.space_time import Mode
from ...data.moving import moving_digits
from ...models import load_network
from ..base import image_bytes
from .widget import SpaceTime

NETWORK = "sk_sized_digits"
_SEED, _CLIPS = 5, 40  # moving_digits(_CLIPS, seed=_SEED, split="test") holds the clips shown
_SHOWN = (0, 1, 2)
_AFTER_RESIDUAL = 4
_CODE = """import numpy as np
import torch

from course_utils.data import moving_digits
from course_utils.widgets.space_time.explore import clip_tokens, identity_attention
"""


def explore_space_time(
    clip: int = 0, query: Sequence[int] = (), temperature: float = 1.25, own_range: bool = True
) -> SpaceTime:
    """See what one cell of one frame looks at: at all frames at once, or over time and then over space.

    Nothing of the attention is trained: queries, keys and values are the standardised features of a network that
    classifies digits (`clip_tokens`), so a weight says how similar two places look (`identity_attention`).

    Args:
        clip: which of the three clips is shown first.
        query: (frame, row, column) of the cell that is shown until the learner points, each from 0.
        temperature: the scores are divided by it; from 0.25 to 4.
        own_range: whether each row of panels uses the whole colour table.

    Raises:
        ValueError: if there is no such clip or cell.

    Example:
        >>> explore_space_time(query=(2, 5, 4))
    """
    return SpaceTime(
        _clips(),
        clip=clip,
        query=query,
        temperature=temperature,
        own_range=own_range,
        code=_CODE,
        caption="Identity projections: queries, keys and values are the standardised features of a trained network "
        "that classifies digits. No weight of the attention is learned here; it says how similar two places look.",
    )


@torch.no_grad()
def clip_tokens(clip: Tensor) -> Tensor:
    """A clip as tokens: what the trained network "sk_sized_digits" sees in each cell of each frame, standardised.

    Each frame goes through the first two stages of the network alone. Every feature is then brought to mean 0 and
    deviation 1 over all cells of all frames, so that none of them outweighs the others, and every token to the length
    sqrt(D), so that a product says how similar two places look and not how bright they are.

    Args:
        clip: (T, 1, H, W), grey frames in [0, 1].

    Returns:
        (1, T, S, D): S = H / 4 * W / 4 cells, in rows; rounded to float16, as the page shows them.
    """
    x = clip
    for stage in _network().stages()[:2]:  # type: ignore[operator]
        x = stage(x)
    tokens = x.flatten(2).transpose(1, 2)  # (T, D, h, w) -> (T, S, D)
    centred = tokens - tokens.mean(dim=(0, 1))
    standardised = centred / centred.std(dim=(0, 1)).clamp(min=1e-6)
    return (F.normalize(standardised, dim=-1) * tokens.shape[-1] ** 0.5).half().float()[None]


def identity_attention(embed_dim: int, mode: Mode, temperature: float = 1.0) -> SpaceTimeAttention:
    """Space-time attention in which queries, keys and values are the tokens themselves.

    The residual of divided attention about doubles the tokens' length before the second step, which makes its scores
    about four times as large; its queries are divided by 4, so that both steps choose about as sharply.

    Args:
        embed_dim: width of a token.
        mode: "divided" or "joint".
        temperature: the scores are divided by it.
    """
    block = SpaceTimeAttention(embed_dim, 1, mode).requires_grad_(False)
    for name, layer in block.named_modules():
        if isinstance(layer, nn.Linear):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)
            if name.endswith("query"):
                layer.weight /= temperature * (_AFTER_RESIDUAL if name.startswith("spatial") else 1)
    return block.eval()


@torch.no_grad()
def weight_elsewhere(tokens: Tensor, place: Tensor, frame: int = 2, temperature: float = 1.25) -> tuple[float, float]:
    """How much weight a query on a thing puts on the same thing in other frames.

    Args:
        tokens: (1, T, S, D), of `clip_tokens`.
        place: (T, H, W) bool, True in the thing's square.
        frame: of the query, which is the cell in the middle of the thing.
        temperature: of the identity attention.

    Returns:
        That of joint attention, and that of the way through both steps of divided attention.
    """
    frames, cells, width = tokens.shape[1:]
    side = round(cells**0.5)
    cover = F.adaptive_avg_pool2d(place.float(), side).flatten(1)  # (T, S): the part of each cell that it covers
    rows, columns = torch.where(cover[frame].view(side, side) >= 0.5)
    query = round(rows.float().mean().item()) * side + round(columns.float().mean().item())
    every = cast(Tensor, identity_attention(width, "joint", temperature).mask(tokens))
    joint = every[0, 0, frame * cells + query]
    temporal, spatial = identity_attention(width, "divided", temperature).mask(tokens)
    both = spatial[0, frame, 0, query] * temporal[0, :, 0, frame].T  # (T, S)
    others = [t for t in range(frames) if t != frame]
    found = [float((weights * cover)[others].sum()) for weights in (joint.view(frames, cells), both)]
    return found[0], found[1]


@functools.cache
def _network() -> nn.Module:
    return load_network(NETWORK).requires_grad_(False)


@functools.cache
def _clips() -> list[dict[str, Any]]:
    data = moving_digits(_CLIPS, _SEED, "test")
    made: list[dict[str, Any]] = []
    for index in _SHOWN:
        clip = data.clips[index]
        tokens = clip_tokens(clip)
        cells = round(tokens.shape[2] ** 0.5)
        covers = [
            (F.adaptive_avg_pool2d(masks.float(), cells) * 255).round().byte()
            for masks in (data.moving[index], data.standing[index].expand_as(data.moving[index]))
        ]
        made.append(
            {
                "label": f"clip {len(made) + 1}: a {int(data.labels[index])} moves",
                "frames": np.stack([image_bytes(frame) for frame in clip]),
                "tokens": tokens[0].numpy(),
                "moving": covers[0].numpy(),
                "standing": covers[1].numpy(),
                "code": f'tokens = clip_tokens(moving_digits({_CLIPS}, seed={_SEED}, split="test").clips[{index}])',
            }
        )
    return made
