"""Efficient channel attention: a mask over channels in which each channel asks only its neighbours.

Wang, Wu, Zhu, Li, Zuo, Hu. ECA-Net. CVPR 2020, section 3.2 and equation 12. https://arxiv.org/abs/1910.03151
The paper's figure 3 leaves out the sigmoid; its equations and its release have it.
"""

import math

import torch
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map, spatial_mean


class ECABlock(AttentionBlock):
    """Scale each channel by a gate made from the means of the k channels around it.

    SE squeezes all channels through a bottleneck; here one short kernel slides along the channels. It is the whole
    layer: k weights, however many channels there are.

    Args:
        channels: C of the input; it sets the kernel size k, the odd number near (log2 C + 1) / 2.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, C, 1, 1), each value in (0, 1).

    Raises:
        ValueError: if channels is not a whole number of at least 1; if the input is not (N, C, H, W).

    Example:
        >>> ECABlock(256).conv.kernel_size
        (5,)
    """

    def __init__(self, channels: int):
        super().__init__()
        check_counts(type(self).__name__, channels=channels)
        self.channels = channels
        kernel_size = eca_kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every channel: (N, C, H, W) -> (N, C, 1, 1)."""
        check_feature_map(self, x, self.channels)
        squeezed = spatial_mean(x)[:, None]  # (N, 1, C): the channels lie on a line
        excitation = torch.sigmoid(self.conv(squeezed))  # (N, 1, C)
        return excitation[:, 0, :, None, None]


def eca_kernel_size(channels: int) -> int:
    """The kernel size k for C channels: (log2 C + 1) / 2 cut to a whole number, and one more where that is even."""
    size = int(abs((math.log2(channels) + 1) / 2))
    return size if size % 2 else size + 1
