"""What every function of this package returns: images, labels and, where it is known, the true place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures with the answer to each.

    Args:
        images: (N, C, H, W) float32, each value in [0, 1].
        labels: (N,) int64, the class of each image.
        masks: (N, H, W) bool, True where the answer stands; None where the place is not known.

    Raises:
        ValueError: if the shapes, the types or the range do not fit.

    Example:
        >>> train_set = digits("train")
        >>> train_set.images.shape
        torch.Size([4000, 1, 28, 28])
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        images, labels, masks = self.images, self.labels, self.masks
        if images.dim() != 4 or images.dtype != torch.float32:
            raise ValueError(
                f"images must be (N, C, H, W) float32, but are {tuple(images.shape)} {images.dtype}; "
                "add a missing axis with images[:, None], and divide bytes by 255."
            )
        if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
            raise ValueError(
                f"labels must be ({len(images)},) int64, one for each image, but are {tuple(labels.shape)} "
                f"{labels.dtype}; convert them with labels.long()."
            )
        if masks is not None and (masks.shape != images[:, 0].shape or masks.dtype != torch.bool):
            raise ValueError(
                f"masks must be {tuple(images[:, 0].shape)} bool, one for each image, but are {tuple(masks.shape)} "
                f"{masks.dtype}; threshold them with masks > 0.5."
            )
        if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
            raise ValueError(
                f"images must lie in [0, 1], but reach from {float(images.min()):.3g} to {float(images.max()):.3g}; "
                "divide bytes by 255."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor | Sequence[int] | slice) -> "ImageSet":
        """The chosen images, in the order of the indices."""
        chosen = indices if isinstance(indices, slice | Tensor) else torch.as_tensor(indices, dtype=torch.int64)
        masks = None if self.masks is None else self.masks[chosen]
        return ImageSet(self.images[chosen], self.labels[chosen], masks)
