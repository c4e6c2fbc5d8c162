"""What a step is given and what it lowers."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data import ImageSet


class Batch(NamedTuple):
    """Images (N, C, H, W), labels (N,), and masks (N, H, W) bool where the set has them, on one device."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None

    @classmethod
    def of(cls, image_set: ImageSet, device: torch.device, layout: torch.memory_format) -> "Batch":
        """A whole set, moved to the device."""
        masks = None if image_set.masks is None else image_set.masks.to(device)
        return cls(image_set.images.to(device, memory_format=layout), image_set.labels.to(device), masks)

    def take(self, indices: Tensor | slice) -> "Batch":
        """The chosen images, in the order of the indices."""
        masks = None if self.masks is None else self.masks[indices]
        return Batch(self.images[indices], self.labels[indices], masks)


Objective = Callable[[nn.Module, Batch], Tensor]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """The mean cross-entropy of a classifier on a batch."""
    return F.cross_entropy(model(batch.images).float(), batch.labels)
