"""CBAM: first a mask over channels (what), then a mask over positions (where).

Woo, Park, Lee, Kweon. CBAM: Convolutional Block Attention Module. ECCV 2018, section 3.
https://arxiv.org/abs/1807.06521
The paper stacks [mean, max] before the spatial convolution, its release [max, mean]: here it is the release's order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map, spatial_mean
from .squeeze_excitation import bottleneck_width


class CBAMChannel(AttentionBlock):
    """Scale each channel by a gate made from its mean and its largest value.

    Args:
        channels: C of the input.
        reduction: r, the bottleneck keeps C // r units.
        bias: whether the two layers have biases (the release has them).

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, C, 1, 1), each value in (0, 1).

    Raises:
        ValueError: if C // reduction is 0; if the input is not (N, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = True):
        super().__init__()
        hidden = bottleneck_width("CBAM", channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every channel: (N, C, H, W) -> (N, C, 1, 1)."""
        check_feature_map(self, x, self.reduce.in_features)
        squeezed = torch.stack([spatial_mean(x), largest(x.flatten(2), dim=2)])  # (2, N, C)
        mean, most = self.expand(F.relu(self.reduce(squeezed)))  # the same two layers see both
        return torch.sigmoid(mean + most)[:, :, None, None]


class CBAMSpatial(AttentionBlock):
    """Scale each position by a gate made from the mean and the largest of its channels, and of the positions around.

    Args:
        kernel_size: how far a position looks around; odd.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, 1, H, W), each value in (0, 1).

    Raises:
        ValueError: if kernel_size is not a positive odd number.
    """

    def __init__(self, kernel_size: int = 7):
        super().__init__()
        check_counts("CBAM", kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(
                f"CBAM was given kernel_size={kernel_size}, but needs an odd number so that the mask has "
                "the size of the map; use kernel_size=7."
            )
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every position: (N, C, H, W) -> (N, 1, H, W)."""
        check_feature_map(self, x, None)
        mean = x.sum(dim=1) / x.shape[1]
        pooled = torch.stack([largest(x, dim=1), mean], dim=1)  # (N, 2, H, W): max, mean
        return torch.sigmoid(self.norm(self.conv(pooled)))


class CBAM(AttentionBlock):
    """Scale the channels, then the positions of what is left.

    Args:
        channels: C of the input.
        reduction: r of the channel part.
        kernel_size: of the spatial part; odd.
        bias: whether the layers of the channel part have biases.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, C, H, W), the product of the two parts' masks. Each part
        is recorded too: `.channel` (N, C, 1, 1) and `.spatial` (N, 1, H, W).

    Raises:
        ValueError: if C // reduction is 0, or kernel_size is not odd; if the input is not (N, C, H, W).
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7, bias: bool = True):
        super().__init__()
        self.channel = CBAMChannel(channels, reduction, bias)
        self.spatial = CBAMSpatial(kernel_size)

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every value: (N, C, H, W) -> (N, C, H, W)."""
        channel = self.channel.mask(x)
        return channel * self.spatial.mask(x * channel)

    def forward(self, x: Tensor) -> Tensor:
        """The input scaled twice; the large product of the masks is made only while someone records."""
        channel = self.channel.record(self.channel.mask(x))
        refined = x * channel
        spatial = self.spatial.record(self.spatial.mask(refined))
        if self.recording:
            product = channel * spatial
            used = self.record(product)
            if used is not product:
                return x * used
        # Where no gradient will ask for it, the map scaled once may be written over.
        return refined * spatial if refined.requires_grad else refined.mul_(spatial)


def largest(x: Tensor, dim: int) -> Tensor:
    """The largest value along an axis, by the quicker way of two.

    `amax` alone is fast, but its gradient compares every value again; `max` remembers where it was.
    """
    return x.max(dim=dim).values if x.requires_grad else x.amax(dim=dim)
