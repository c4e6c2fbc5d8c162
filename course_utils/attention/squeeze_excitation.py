"""Squeeze-and-excitation: a mask over channels, made from each channel's mean.

Hu, Shen, Sun. Squeeze-and-Excitation Networks. CVPR 2018, section 3. https://arxiv.org/abs/1709.01507
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_counts, check_feature_map, spatial_mean

Gate = Literal["sigmoid", "hard_sigmoid"]


class SEBlock(AttentionBlock):
    """Scale each channel by how much the whole image calls for it.

    Args:
        channels: C of the input.
        reduction: r, the bottleneck keeps C // r units.
        bias: whether the two layers have biases (the released models do).
        hidden: units of the bottleneck, where a network has another number than C // r; `reduction` is then not used.
        gate: "sigmoid", or "hard_sigmoid", which is relu6(x + 3) / 6: cheaper, and exactly 0 or 1 beyond -3 and 3.

    Shape:
        input (N, C, H, W) -> output (N, C, H, W); mask (N, C, 1, 1), each value in (0, 1), or in [0, 1] with
        "hard_sigmoid".

    Raises:
        ValueError: if C // reduction is 0, since the mask would be a constant; if hidden is less than 1; if gate is
            neither; if the input is not (N, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        bias: bool = True,
        hidden: int | None = None,
        gate: Gate = "sigmoid",
    ):
        super().__init__()
        if gate not in get_args(Gate):
            raise ValueError(f'SEBlock has the gates "sigmoid" and "hard_sigmoid", but was given {gate!r}.')
        if hidden is None:
            hidden = bottleneck_width(type(self).__name__, channels, reduction)
        else:
            check_counts(type(self).__name__, channels=channels, hidden=hidden)
        self.gate = gate
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def mask(self, x: Tensor) -> Tensor:
        """The gate of every channel: (N, C, H, W) -> (N, C, 1, 1)."""
        check_feature_map(self, x, self.reduce.in_features)
        squeezed = spatial_mean(x)  # (N, C): squeeze
        scores = self.expand(F.relu(self.reduce(squeezed)))  # (N, C): excite
        excitation = torch.sigmoid(scores) if self.gate == "sigmoid" else F.hardsigmoid(scores)
        return excitation[:, :, None, None]


def bottleneck_width(block: str, channels: int, reduction: int) -> int:
    """C // r, refused where nothing would be left.

    Raises:
        ValueError: if channels or reduction is not a positive whole number, or C // r is 0.
    """
    check_counts(block, channels=channels, reduction=reduction)
    if channels // reduction == 0:
        raise ValueError(
            f"{block}(channels={channels}, reduction={reduction}) leaves {channels} // {reduction} = 0 hidden units, "
            f"so the mask would be the same for every "
            f"input (0.5 for every channel at first); use reduction <= {channels}."
        )
    return channels // reduction
