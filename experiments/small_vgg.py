"""The networks of study 4.5: a small VGG with gates, with shortcuts in their place, and one that names two digits."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.attention import AttentionBlock
from course_utils.data import DIGIT_PAIRS
from course_utils.models import AttentionVGG

SMALL_VGG: Mapping[str, Any] = {"widths": (12, 24, 48, 64), "convolutions": (1, 2, 2, 2), "hidden_channels": 32}
"""What makes an `AttentionVGG` that learns the scenes in about a minute on one core."""


class EvenGate(AttentionBlock):
    """Takes the place of a gate and treats every position the same: a gate's shortcut without its choice.

    Shape:
        local (N, C, H, W), global (any) -> (N, C); mask (N, 1, H, W), all ones.
    """

    def mask(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """One for every position."""
        return torch.ones_like(local[:, :1])

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """The mean over all positions."""
        return (local * self.record(self.mask(local, guide))).mean(dim=(2, 3))


class TwoDigitsVGG(AttentionVGG):
    """An `AttentionVGG` that classifies two digits: the logit of a pair is the sum of its digits' logits.

    The softmax over the pairs is then what ten independent yes-or-no answers give once it is known that two are yes.

    Shape:
        input (N, 3, H, W) -> logits (N, 45), in the order of `DIGIT_PAIRS`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the pairs."""
        return self.digits(images)[:, DIGIT_PAIRS].sum(2)

    def digits(self, images: Tensor) -> Tensor:
        """The logits of the digits, (N, 10)."""
        return super().forward(images)


def small_vgg(alignment: str | None) -> AttentionVGG:
    """The study's network; "even" has shortcuts in place of gates."""
    network = AttentionVGG(10, None if alignment == "even" else alignment, **SMALL_VGG)  # type: ignore[arg-type]
    if alignment == "even":
        final, *gated = SMALL_VGG["widths"][:-4:-1]
        network.gates = nn.ModuleList(EvenGate() for _ in gated)
        network.classifier = nn.Linear(final + sum(gated), 10)
    return network
