"""Cued digits: a task of this course, where the answer depends on something elsewhere in the picture."""

import numpy as np
import torch
import torch.nn.functional as F

from .dataset import ImageSet
from .handwritten import SPLITS, bytes_of

_NOISE = 0.15
_BORDER = 2
_CUE = 0.8


def cued_digits(n: int, seed: int, split: str = "train", size: int = 40) -> ImageSet:
    """A red, a green and a blue digit; the colour of the border says which of them to name.

    The digits stand in three different cells of a 2 x 2 grid, on a little noise. The colours, cells and digits are
    drawn independently, so chance is 10 %, and who does not read the border cannot do better than about 43 %.
    Train and test pictures are made of different handwritten digits.

    Args:
        n: how many pictures.
        seed: the same n, seed and split give the same pictures.
        split: whose digits are used: "train", "test", or, to choose settings, "fit" and "validation".
        size: height and width; each digit is (size - 4) // 2 pixels large.

    Returns:
        images (n, 3, size, size); labels (n,), the digit in the border's colour; masks (n, size, size), True in
        the square where that digit stands.

    Raises:
        ValueError: for an unknown split, a negative n, or a size below 20.

    Example:
        >>> cued_digits(6000, seed=0).images.shape
        torch.Size([6000, 3, 40, 40])
    """
    if n < 0 or size < 20:
        raise ValueError(
            f"cued_digits(n={n}, size={size}) needs n >= 0 and size >= 20, so that the digits can be read."
        )
    images, labels = bytes_of(split)
    side = (size - 2 * _BORDER) // 2
    glyphs = F.adaptive_avg_pool2d(images[:, None].float() / 255, side)[:, 0].numpy()  # (digits, side, side): by area

    random = np.random.default_rng((seed, SPLITS.index(split)))
    chosen = random.integers(len(glyphs), size=(n, 3))  # the red, the green and the blue digit of each picture
    cells = random.permuted(np.broadcast_to(np.arange(4), (n, 4)), axis=1)[:, :3]
    cue = random.integers(3, size=n)
    canvas = random.random((n, 3, size, size), dtype=np.float32) * np.float32(_NOISE)

    picture = np.arange(n)
    row, column = cells // 2 * side + _BORDER, cells % 2 * side + _BORDER  # (n, 3) each: the upper left corner
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (side, side), axis=(2, 3), writeable=True)
    for colour in range(3):
        place = (picture, colour, row[:, colour], column[:, colour])
        windows[place] = np.maximum(windows[place], glyphs[chosen[:, colour]])
    border = np.ones((size, size), dtype=bool)
    border[_BORDER : size - _BORDER, _BORDER : size - _BORDER] = False
    top, left = np.nonzero(border)
    canvas[picture[:, None], cue[:, None], top, left] = _CUE

    masks = np.zeros((n, size, size), dtype=bool)
    squares = np.lib.stride_tricks.sliding_window_view(masks, (side, side), axis=(1, 2), writeable=True)
    squares[picture, row[picture, cue], column[picture, cue]] = True
    cued = labels[torch.from_numpy(chosen[picture, cue])]
    return ImageSet(torch.from_numpy(canvas), cued, torch.from_numpy(masks))
