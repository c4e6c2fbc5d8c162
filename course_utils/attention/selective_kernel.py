"""Selective kernel: a mask over branches; each channel chooses how far it looks.

Li, Wang, Hu, Yang. Selective Kernel Networks. CVPR 2019, section 3.1. https://arxiv.org/abs/1903.06586
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map, spatial_mean


class SelectiveKernel(AttentionBlock):
    """Run branches of growing dilation, and mix them channel by channel as the whole image asks.

    Args:
        channels: C of the input and the output.
        branches: how many; branch b is a 3x3 convolution with dilation b + 1, which sees 2 * b + 3 pixels across.
        groups: of the branches' convolutions; must divide C.
        reduced_channels: d of the bottleneck; max(C // 16, 32) by default.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, branches, C, 1, 1), each value in (0, 1), the branches'
        weights of a channel sum to 1.

    Raises:
        ValueError: if there are fewer than two branches, or groups do not divide C; if the input is not (N, C, H, W),
            or a single image in training, which has no batch statistics.
    """

    def __init__(self, channels: int, branches: int = 2, groups: int = 32, reduced_channels: int | None = None):
        super().__init__()
        name = type(self).__name__
        check_counts(name, channels=channels, branches=branches, groups=groups)
        if branches < 2:
            raise ValueError(f"{name} was given branches={branches}, but needs two to choose from; use branches=2.")
        if channels % groups:
            raise ValueError(
                f"{name} was given channels={channels} and groups={groups}, but groups must divide channels; "
                f"use groups={max(count for count in range(1, groups) if channels % count == 0)}."
            )
        reduced_channels = max(channels // 16, 32) if reduced_channels is None else reduced_channels
        check_counts(name, reduced_channels=reduced_channels)
        self.channels = channels
        self.branches = nn.ModuleList(_branch(channels, dilation, groups) for dilation in range(1, branches + 1))
        self.reduce = nn.Linear(channels, reduced_channels, bias=False)
        self.norm = nn.BatchNorm1d(reduced_channels)
        self.select = nn.Linear(reduced_channels, branches * channels, bias=False)

    def mask(self, x: Tensor) -> Tensor:
        """The share of every branch in every channel: (N, C, H, W) -> (N, branches, C, 1, 1)."""
        return self._choose(self._branches(x))

    def forward(self, x: Tensor) -> Tensor:
        """The branches mixed by the mask."""
        seen = self._branches(x)
        mask = self.record(self._choose(seen))
        mixed = seen[0] * mask[:, 0]
        for index in range(1, len(seen)):
            mixed = torch.addcmul(mixed, seen[index], mask[:, index])
        return mixed

    def _branches(self, x: Tensor) -> list[Tensor]:
        """What each branch sees: `branches` times (N, C, H, W)."""
        check_feature_map(self, x, self.channels)
        if self.training and x.shape[0] < 2:
            raise ValueError(
                f"{type(self).__name__} in training needs at least 2 images, since it normalises one vector an image "
                f"over the batch, but was given {tuple(x.shape)}; use a larger batch, or block.eval()."
            )
        return [branch(x) for branch in self.branches]

    def _choose(self, seen: list[Tensor]) -> Tensor:
        fused = torch.stack([spatial_mean(branch) for branch in seen]).sum(dim=0)  # (N, C): the mean of the sum
        reduced = F.relu(self.norm(self.reduce(fused)))  # (N, d)
        logits = self.select(reduced).unflatten(1, (len(seen), self.channels))  # (N, branches, C)
        return torch.softmax(logits, dim=1)[..., None, None]  # select: across the branches


def _branch(channels: int, dilation: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
