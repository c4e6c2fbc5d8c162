"""The one idea: attention is f(g(x), x), where g makes a mask from the input and f applies it.

Guo et al. Attention mechanisms in computer vision: a survey. Computational Visual Media 8(3), 2022, section 2.
https://arxiv.org/abs/2111.07624
"""

from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn


class AttentionBlock(nn.Module):
    """A layer with two doors: `block.mask(x)` is g(x), `block(x)` is f(g(x), x).

    A subclass writes `mask`. If f is a product, nothing else is needed; otherwise it writes `forward` too and applies
    what `record` returns when it is given the mask.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watches: list[Any] = []  # filled by `record_masks` and `edit_masks` while they are open

    @property
    def recording(self) -> bool:
        """Whether someone wants this block's mask: a block on a fused path makes its weights only then."""
        return any(watch.wants(self) for watch in self._watches)

    @property
    def followed(self) -> bool:
        """Whether `find_tokens` follows this pass: a block that computes only some of its queries then computes all."""
        return any(watch.traces for watch in self._watches)

    def record(self, mask: Tensor) -> Tensor:
        """Give the mask of this forward pass to the open recording, if there is one, and return the one to use.

        It is the same tensor, unless `edit_masks` changes it.
        """
        for watch in dict.fromkeys(self._watches):
            mask = watch.meet(self, mask)
        return mask

    def mask(self, x: Tensor) -> Tensor:
        """g: the mask alone, in its natural shape."""
        raise NotImplementedError(f"{type(self).__name__} must say how it makes its mask: write mask(self, x)")

    def forward(self, x: Tensor) -> Tensor:
        """f(g(x), x) where f is a product: the input scaled by its mask, in the shape of the input."""
        return x * self.record(self.mask(x))


def spatial_mean(x: Tensor) -> Tensor:
    """The mean of each channel over its positions, (N, C, H, W) -> (N, C).

    A sum divided afterwards: the gradient of `x.mean` fills a map of the size of x, that of a sum is a view. Half
    precision is summed in float32, since 65504 is soon passed.
    """
    total = x.sum(dim=(2, 3), dtype=torch.promote_types(x.dtype, torch.float32))
    return (total / (x.shape[2] * x.shape[3])).to(x.dtype)


def check_counts(block: str, **counts: int) -> None:
    """Refuse a size or a number that is not a whole number of at least 1.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(
                f"{block} was given {name}={count!r}, but needs a whole number of at least 1; use {name}=1 or more."
            )


def check_feature_map(block: nn.Module, x: Tensor, channels: int | None, positions: int = 1) -> None:
    """Refuse an input that is not a feature map of `channels` channels (None: any) and at least so many positions.

    Raises:
        ValueError: says what was given, what is needed and what to do.
    """
    if x.dim() != 4:
        cure = "add the batch axis with x[None]" if x.dim() == 3 else "reshape it to four axes"
        raise ValueError(
            f"{type(block).__name__} needs a feature map (N, {channels or 'C'}, H, W), but was given {tuple(x.shape)}; "
            f"{cure}."
        )
    if channels is not None and x.shape[1] != channels:
        cure = (
            "the channels seem to come last: use x.permute(0, 3, 1, 2)"
            if x.shape[3] == channels
            else f"build the block with {x.shape[1]} channels"
        )
        raise ValueError(
            f"{type(block).__name__} was built for {channels} channels, but was given {x.shape[1]} "
            f"in {tuple(x.shape)}; {cure}."
        )
    if x.shape[2] * x.shape[3] < positions:
        raise ValueError(
            f"{type(block).__name__} needs H * W of at least {positions}, but was given {tuple(x.shape)}; "
            "use a larger image, or put the block before the pooling that shrank the map."
        )
    if not x.is_floating_point():
        raise ValueError(
            f"{type(block).__name__} needs floating point numbers, but was given {x.dtype}; use x.float() / 255 for "
            "an image of bytes."
        )
