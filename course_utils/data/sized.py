"""Digits from tiny to as large as the picture: a task in which no single size of kernel suits every picture."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .dataset import ImageSet
from .handwritten import SPLITS, bytes_of

_NOISE = 0.15


def sized_digits(n: int, seed: int, split: str = "train", sides: tuple[int, int] = (8, 40), size: int = 40) -> ImageSet:
    """One digit of a random size at a random place, on a little noise; the answer is the digit.

    Args:
        n: how many pictures.
        seed: the same n, seed and split give the same pictures.
        split: whose digits are used: "train", "test", or, to choose settings, "fit" and "validation".
        sides: the smallest and the largest side of the digit's square, in pixels; every size between is as likely.
        size: height and width of the picture.

    Returns:
        images (n, 1, size, size); labels (n,); masks (n, size, size), True in the digit's square, so that
        `digit_sides` can read its side.

    Raises:
        ValueError: for an unknown split, a negative n, or sides that are not 4 <= smallest <= largest <= size.

    Example:
        >>> sized_digits(8000, seed=0).images.shape
        torch.Size([8000, 1, 40, 40])
    """
    smallest, largest = sides
    if n < 0 or not 4 <= smallest <= largest <= size:
        raise ValueError(
            f"sized_digits(n={n}, sides={sides}, size={size}) needs n >= 0 and 4 <= smallest <= largest <= size."
        )
    images, labels = bytes_of(split)
    random = np.random.default_rng((seed, SPLITS.index(split)))
    chosen = random.integers(len(images), size=n)
    side = random.integers(smallest, largest + 1, size=n)
    corner = (random.random((n, 2)) * (size - side + 1)[:, None]).astype(np.int64)  # (n, 2): row, column
    canvas = random.random((n, 1, size, size), dtype=np.float32) * np.float32(_NOISE)
    masks = np.zeros((n, size, size), dtype=bool)
    for each in np.unique(side):
        places = np.flatnonzero(side == each)
        glyphs = scaled(images[torch.from_numpy(chosen[places])], int(each)).numpy()
        for place, glyph in zip(places, glyphs, strict=True):
            row, column = corner[place]
            square = np.s_[row : row + each, column : column + each]
            canvas[place, 0][square] = np.maximum(canvas[place, 0][square], glyph)
            masks[place][square] = True
    return ImageSet(torch.from_numpy(canvas), labels[torch.from_numpy(chosen)], torch.from_numpy(masks))


def digit_sides(pictures: ImageSet) -> Tensor:
    """The side of the digit's square in each picture of `sized_digits`, in pixels: (N,).

    Raises:
        ValueError: if the pictures come without masks.
    """
    if pictures.masks is None:
        raise ValueError("These pictures have no masks, so the size of their digits is unknown; use sized_digits.")
    return pictures.masks.flatten(1).sum(1).double().sqrt().round().long()


def scaled(images: Tensor, side: int) -> Tensor:
    """Handwritten digits at another size: (N, 28, 28) uint8 -> (N, side, side), in [0, 1]."""
    glyphs = images[:, None].float() / 255
    return F.interpolate(glyphs, size=(side, side), mode="bilinear", antialias=True)[:, 0].clamp(0, 1)
