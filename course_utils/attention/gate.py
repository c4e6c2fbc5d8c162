"""The attention gate: what the whole image is about decides where an earlier, finer map is kept.

Yan, Kawahara, Hamarneh. Melanoma Recognition via Visual Attention. IPMI 2019, section 2.
https://doi.org/10.1007/978-3-030-20351-1_62
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .block import AttentionBlock, check_feature_map

Alignment = Literal["sigmoid", "softmax"]


class AttentionGate(AttentionBlock):
    """Weigh the positions of a local map by how well they agree with a global map, and pool them.

    The score of a position is additive: phi(relu(W_l l + W_g g)). The global map is first projected, then interpolated
    to the size of the local one, so that any pair of sizes fits. "sigmoid" judges each position alone, and the gated
    features are averaged; "softmax" makes the positions share a weight of 1, and the gated features are summed.

    Args:
        local_channels: C of the local map.
        global_channels: channels of the global map.
        hidden_channels: width in which both are compared.
        alignment: "sigmoid" or "softmax".

    Shape:
        local (N, C, H, W), global (N, global_channels, h, w) -> (N, C); mask (N, 1, H, W), each value in (0, 1) with
        "sigmoid", summing to 1 over the positions with "softmax".

    Raises:
        ValueError: if alignment is neither, a width is less than 1, or an input has not the channels named.
    """

    def __init__(
        self, local_channels: int, global_channels: int, hidden_channels: int = 256, alignment: Alignment = "sigmoid"
    ):
        super().__init__()
        if alignment not in get_args(Alignment):
            raise ValueError(f'AttentionGate has the alignments "sigmoid" and "softmax", but was given {alignment!r}.')
        if min(local_channels, global_channels, hidden_channels) < 1:
            raise ValueError(
                f"AttentionGate(local_channels={local_channels}, global_channels={global_channels}, "
                f"hidden_channels={hidden_channels}) needs three whole numbers of at least 1."
            )
        self.alignment = alignment
        self.local = nn.Conv2d(local_channels, hidden_channels, kernel_size=1, bias=False)  # W_l
        self.guide = nn.Conv2d(global_channels, hidden_channels, kernel_size=1, bias=False)  # W_g
        self.phi = nn.Conv2d(hidden_channels, 1, kernel_size=1)

    def mask(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """The weight of every position: local (N, C, H, W), global (N, global_channels, h, w) -> (N, 1, H, W)."""
        check_feature_map(self, local, self.local.in_channels)
        check_feature_map(self, guide, self.guide.in_channels)
        projected = F.interpolate(self.guide(guide), size=local.shape[2:], mode="bilinear", align_corners=False)
        scores = self.phi(F.relu(self.local(local) + projected))  # (N, 1, H, W)
        if self.alignment == "sigmoid":
            return torch.sigmoid(scores)
        return scores.flatten(2).softmax(dim=2).view_as(scores)

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """The local features, pooled where the gate is open: (N, C)."""
        weights = self.record(self.mask(local, guide)).flatten(2)  # (N, 1, H * W)
        if self.alignment == "sigmoid":
            weights = weights / weights.shape[2]
        return (local.flatten(2) @ weights.transpose(1, 2)).squeeze(2)  # sum over positions of weight times feature
