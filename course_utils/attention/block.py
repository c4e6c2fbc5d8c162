"""The one idea: attention is f(g(x), x), where g makes a mask from the input and f applies it.

Guo et al. Attention mechanisms in computer vision: a survey. Computational Visual Media 8(3), 2022, section 2.
https://arxiv.org/abs/2111.07624
"""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import torch
from torch import Tensor, nn


class AttentionBlock(nn.Module):
    """A layer with two doors: `block.mask(x)` is g(x), `block(x)` is f(g(x), x).

    A subclass writes `mask`. If f is a product, nothing else is needed; otherwise it writes `forward` too and hands
    the mask that it used to `record`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recorders: list[tuple[dict[str, Tensor], str]] = []

    @property
    def recording(self) -> bool:
        """Whether someone is listening: a block on a fused path makes its weights only then."""
        return bool(self._recorders)

    def record(self, mask: Tensor) -> Tensor:
        """Give the mask of this forward pass to every `record_masks` that listens, and return it."""
        for masks, name in self._recorders:
            masks[name] = mask
        return mask

    def mask(self, x: Tensor) -> Tensor:
        """g: the mask alone, in its natural shape."""
        raise NotImplementedError(f"{type(self).__name__} must say how it makes its mask: write mask(self, x)")

    def forward(self, x: Tensor) -> Tensor:
        """f(g(x), x) where f is a product: the input scaled by its mask, in the shape of the input."""
        return x * self.record(self.mask(x))


@contextmanager
def record_masks(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the mask of every attention block of a model, as the forward pass uses it.

    Nothing runs twice: outputs, running statistics and random state are those of a plain pass. The masks keep their
    gradient, so that a loss may be put on them. A later pass, or a later use of a shared block, overwrites the
    earlier mask.

    Args:
        model: any module; a model without attention blocks gives an empty dictionary.

    Yields:
        A dictionary from the block's name, as in `model.named_modules()`, to its mask. A block that is itself the
        model has the name "".

    Example:
        >>> with record_masks(model) as masks:
        ...     logits = model(images)
        >>> masks["stage2.attention"].shape
        torch.Size([8, 48, 1, 1])
    """
    masks: dict[str, Tensor] = {}
    blocks = {name: module for name, module in model.named_modules() if isinstance(module, AttentionBlock)}
    for name, block in blocks.items():
        block._recorders.append((masks, name))
    try:
        yield masks
    finally:
        for block in blocks.values():
            block._recorders = [kept for kept in block._recorders if kept[0] is not masks]


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
