"""The table of blocks that the property tests run over, and the checks that any block can be put through."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.attention import CBAM, AttentionBlock, ECABlock, GSoPBlock, SEBlock, SelectiveKernel, SelfAttention2d

CHANNELS = 16


@dataclass(frozen=True)
class BlockCase:
    """A block on feature maps and what is known of its mask.

    `mask_shape` gives the shape for (n, h, w); `sums_along` is the axis along which the mask sums to one, None for a
    gate; `positions` says how the output follows a permutation of the positions: whether it is permuted alike.
    """

    name: str
    build: Callable[[], AttentionBlock]
    mask_shape: Callable[[int, int, int], tuple[int, ...]]
    sums_along: int | None = None
    scales: bool = True
    positions: bool = False
    needs_batch: bool = False


def _vector(n: int, h: int, w: int) -> tuple[int, ...]:
    return (n, CHANNELS, 1, 1)


CASES = [
    BlockCase("se", lambda: SEBlock(CHANNELS, reduction=4), _vector, positions=True),
    BlockCase("eca", lambda: ECABlock(CHANNELS), _vector, positions=True),
    BlockCase("gsop", lambda: GSoPBlock(CHANNELS, reduced_channels=6), _vector, positions=True),
    BlockCase("cbam", lambda: CBAM(CHANNELS, reduction=4), lambda n, h, w: (n, CHANNELS, h, w)),
    BlockCase(
        "self_attention",
        lambda: SelfAttention2d(CHANNELS),
        lambda n, h, w: (n, h * w, h * w),
        sums_along=2,
        scales=False,
        positions=True,
    ),
    BlockCase(
        "pooled_self_attention",
        lambda: SelfAttention2d(CHANNELS, pool=True, bias=True),
        lambda n, h, w: (n, h * w, (h // 2) * (w // 2)),
        sums_along=2,
        scales=False,
    ),
    BlockCase(
        "selective_kernel",
        lambda: SelectiveKernel(CHANNELS, groups=4, reduced_channels=8),
        lambda n, h, w: (n, 2, CHANNELS, 1, 1),
        sums_along=1,
        scales=False,
        needs_batch=True,
    ),
]


def drawn(case: BlockCase, seed: int = 0) -> AttentionBlock:
    """The case's block with every parameter and buffer drawn, in evaluation mode."""
    torch.manual_seed(seed)
    block = case.build()
    draw_state(block)
    return block.eval()


def draw_state(module: nn.Module) -> None:
    """Draw every parameter and running statistic, so that no gate is closed and no statistic is 0 or 1."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.copy_(0.4 * torch.randn_like(tensor) + 0.1)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same_state(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Both hold the same tensors, to the bit."""
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name
