"""Attention in time and in space: where a video's tokens look, in other frames and in their own.

Bertasius, Wang, Torresani. Is Space-Time Attention All You Need for Video Understanding? ICML 2021, section 3.
https://arxiv.org/abs/2102.05095
"""

from typing import Literal, get_args

from torch import Tensor

from .block import AttentionBlock
from .multi_head import MultiHeadAttention

Mode = Literal["divided", "joint"]


class SpatialAttention(MultiHeadAttention):
    """Let the positions of each frame attend to one another: the frames are a batch.

    Args:
        embed_dim: width of a token.
        num_heads: number of heads; must divide embed_dim.

    Shape:
        input (N, T, S, embed_dim), T frames of S positions -> output of the same shape;
        mask (N, T, num_heads, S, S), rows sum to 1.

    Raises:
        ValueError: if num_heads does not divide embed_dim, or the input has not four axes.
    """

    def mask(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Which position each position looks at: (N, T, S, embed_dim) -> (N, T, num_heads, S, S)."""
        check_video(self, x, self.embed_dim)
        return super().mask(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Every frame's attention to itself, without a residual."""
        check_video(self, x, self.embed_dim)
        frames = x.flatten(0, 1)  # (N * T, S, embed_dim)
        context, _ = self._attend(frames, frames, frames, None, need_weights=False, windows=tuple(x.shape[:2]))
        return context.unflatten(0, x.shape[:2])


class TemporalAttention(SpatialAttention):
    """Let each position attend to itself in all frames: the positions are a batch.

    Args:
        embed_dim: width of a token.
        num_heads: number of heads; must divide embed_dim.

    Shape:
        input (N, T, S, embed_dim), T frames of S positions -> output of the same shape;
        mask (N, S, num_heads, T, T), rows sum to 1.

    Raises:
        ValueError: if num_heads does not divide embed_dim, or the input has not four axes.
    """

    def mask(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Which frame each frame looks at: (N, T, S, embed_dim) -> (N, S, num_heads, T, T)."""
        check_video(self, x, self.embed_dim)
        return super().mask(x.transpose(1, 2))

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Every position's attention through time, without a residual."""
        check_video(self, x, self.embed_dim)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class SpaceTimeAttention(AttentionBlock):
    """Attention over a video's tokens, in two cheap steps or in one costly one.

    "divided" looks along time, adds the result, then looks within each frame and adds that: T + S scores a token.
    "joint" compares all T * S tokens at once. Neither has a norm or another layer. What `record_masks` collects is
    one mask a step: of the children `temporal` and `spatial`, or of the child `joint`.

    Args:
        embed_dim: width of a token.
        num_heads: number of heads; must divide embed_dim.
        mode: "divided" or "joint".

    Shape:
        input (N, T, S, embed_dim) -> output of the same shape; mask of "divided": the pair of temporal
        (N, S, num_heads, T, T) and spatial (N, T, num_heads, S, S); of "joint": (N, num_heads, T * S, T * S).

    Raises:
        ValueError: if mode is neither, num_heads does not divide embed_dim, or the input has not four axes.
    """

    def __init__(self, embed_dim: int, num_heads: int, mode: Mode = "divided"):
        super().__init__()
        if mode not in get_args(Mode):
            raise ValueError(f'SpaceTimeAttention has the modes "divided" and "joint", but was given {mode!r}.')
        self.embed_dim, self.mode = embed_dim, mode
        if mode == "divided":
            self.temporal = TemporalAttention(embed_dim, num_heads)
            self.spatial = SpatialAttention(embed_dim, num_heads)
        else:
            self.joint = MultiHeadAttention(embed_dim, num_heads)

    def mask(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        """The masks of the pass: (temporal, spatial) if divided, otherwise that of all tokens at once."""
        check_video(self, x, self.embed_dim)
        if self.mode == "divided":
            return self.temporal.mask(x), self.spatial.mask(x + self.temporal(x))
        return self.joint.mask(x.flatten(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """The tokens after both steps, or after the joint one."""
        check_video(self, x, self.embed_dim)
        if self.mode == "divided":
            x = x + self.temporal(x)
            return x + self.spatial(x)
        return self.joint(x.flatten(1, 2)).unflatten(1, x.shape[1:3])  # over (N, T * S, embed_dim)


def check_video(block: AttentionBlock, x: Tensor, embed_dim: int) -> None:
    """Refuse an input that is not a batch of videos made of tokens.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    if x.dim() != 4 or x.shape[3] != embed_dim:
        cure = "add the batch axis with x[None]" if x.dim() == 3 else f"build it for embed_dim={x.shape[-1]}"
        if x.dim() == 5:
            cure = "flatten rows and columns to one axis of positions"
        raise ValueError(
            f"{type(block).__name__} needs tokens (N, T, S, {embed_dim}), but was given {tuple(x.shape)}; {cure}."
        )
