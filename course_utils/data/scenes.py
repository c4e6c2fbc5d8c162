"""Cued scenes: cued digits on photographs, where the true place of the answer is known."""

import functools
import itertools

import numpy as np
import torch
import torch.nn.functional as F

from .dataset import ImageSet
from .handwritten import SPLITS, bytes_of
from .photographs import photograph

DIGIT_PAIRS = tuple(itertools.combinations(range(10), 2))
"""The 45 pairs of different digits, in the order of the labels of scenes with two cues."""

COLOURS = {"red": (0.95, 0.15, 0.15), "green": (0.15, 0.85, 0.2), "blue": (0.2, 0.4, 1.0)}

_PAIR_CODES = [10 * first + second for first, second in DIGIT_PAIRS]
_BORDER = 4
_DIM = 0.5  # of the photographs' brightness, so that the digits stand out
_SHORT_SIDE = 160
_BACKGROUNDS = {
    "fit": ("astronaut", "coffee", "hens", "kitten"),
    "validation": ("cow", "owl"),
    "train": ("astronaut", "coffee", "hens", "kitten", "cow", "owl"),
    "test": ("chelsea", "german_shepherd", "sheep"),
}


def cued_scenes(n: int, seed: int, split: str = "train", size: int = 64, cues: int = 1) -> ImageSet:
    """A red, a green and a blue digit on a photograph; the colour of the border says which of them to name.

    The digits stand in three different cells of a 2 x 2 grid, each anywhere in its cell; behind them is a piece of a
    shipped photograph, half of the time mirrored. Colours, cells, digits and pieces are drawn independently. Train
    and test pictures share neither handwritten digits nor photographs, and "fit" and "validation" do not either.

    With two cues the left and upper edges of the border have one colour and the right and lower edges another: two
    digits, always different ones, are to be named.

    Args:
        n: how many pictures.
        seed: the same n, seed and split give the same pictures.
        split: "train", "test", or, to choose settings, "fit" and "validation".
        size: height and width.
        cues: 1, or 2 for two digits to name.

    Returns:
        images (n, 3, size, size); labels (n,), the cued digit, or with two cues the place of both in `DIGIT_PAIRS`;
        masks (n, size, size), True in the square of each cued digit.

    Raises:
        ValueError: for an unknown split, a negative n, a size outside 32 to 160, or other cues than 1 and 2.

    Example:
        >>> cued_scenes(3000, seed=0).images.shape
        torch.Size([3000, 3, 64, 64])
    """
    if n < 0 or not 32 <= size <= _SHORT_SIDE:
        raise ValueError(
            f"cued_scenes(n={n}, size={size}) needs n >= 0 and a size from 32, so that the digits can be read, to "
            f"{_SHORT_SIDE}, the height of the photographs."
        )
    if cues not in (1, 2):
        raise ValueError(f"cued_scenes(cues={cues}) needs 1 or 2 cues: there are three digits, and one is a rival.")
    digits, classes = bytes_of(split)
    cell = (size - 2 * _BORDER) // 2
    side = cell * 9 // 10
    glyphs = F.adaptive_avg_pool2d(digits[:, None].float() / 255, side)[:, 0].numpy()  # (digits, side, side): by area

    random = np.random.default_rng((seed, SPLITS.index(split), cues))
    chosen = random.integers(len(glyphs), size=(n, 3))  # the red, the green and the blue digit of each picture
    cued = random.permuted(np.broadcast_to(np.arange(3), (n, 3)), axis=1)[:, :cues]  # (n, cues): colours
    picture = np.arange(n)
    if cues == 2:
        _draw_until_different(chosen, cued, classes.numpy(), random, len(glyphs))
    cells = random.permuted(np.broadcast_to(np.arange(4), (n, 4)), axis=1)[:, :3]
    shift = random.integers(cell - side + 1, size=(2, n, 3))
    row, column = cells // 2 * cell + _BORDER + shift[0], cells % 2 * cell + _BORDER + shift[1]  # (n, 3): upper left

    canvas = _backgrounds(n, size, split, random)
    colours = np.array(list(COLOURS.values()), dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(canvas, (side, side), axis=(2, 3), writeable=True)
    for colour in range(3):
        place = (picture[:, None], np.arange(3), row[:, colour, None], column[:, colour, None])
        ink = glyphs[chosen[:, colour]][:, None]  # (n, 1, side, side), each value in [0, 1]
        windows[place] = windows[place] * (1 - ink) + colours[colour][:, None, None] * ink
    for cue, (top, left) in zip(cued.T[[0, -1]], _half_borders(size), strict=True):
        canvas[:, :, top, left] = colours[cue][:, :, None]

    masks = np.zeros((n, size, size), dtype=bool)
    squares = np.lib.stride_tricks.sliding_window_view(masks, (side, side), axis=(1, 2), writeable=True)
    for cue in cued.T:
        squares[picture, row[picture, cue], column[picture, cue]] = True
    named = np.sort(classes.numpy()[np.take_along_axis(chosen, cued, axis=1)], axis=1)  # (n, cues)
    labels = named[:, 0] if cues == 1 else np.searchsorted(_PAIR_CODES, named @ (10, 1))
    return ImageSet(*(torch.from_numpy(np.ascontiguousarray(array)) for array in (canvas, labels, masks)))


def _draw_until_different(
    chosen: np.ndarray, cued: np.ndarray, classes: np.ndarray, random: np.random.Generator, digits: int
) -> None:
    """Draw the second cued digit again, in place, wherever it is of the same class as the first."""
    picture = np.arange(len(chosen))
    while True:
        first, second = (classes[chosen[picture, cued[picture, i]]] for i in range(2))
        same = picture[first == second]
        if not len(same):
            return
        chosen[same, cued[same, 1]] = random.integers(digits, size=len(same))


def _half_borders(size: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Rows and columns of the left and upper, and of the right and lower edge."""
    place = np.arange(size)
    distance = np.minimum(place, size - 1 - place)
    border = np.minimum(distance[:, None], distance) < _BORDER
    upper = place[:, None] + place < size
    return np.nonzero(border & upper), np.nonzero(border & ~upper)


def _backgrounds(n: int, size: int, split: str, random: np.random.Generator) -> np.ndarray:
    """(n, 3, size, size) float32: pieces of the split's photographs."""
    pieces = np.empty((n, 3, size, size), dtype=np.float32)
    photographs = [_reduced(name) for name in _BACKGROUNDS[split]]
    which = random.integers(len(photographs), size=n)
    place = random.random((2, n))
    mirrored = random.random(n) < 0.5
    for index, pixels in enumerate(photographs):
        mine = np.flatnonzero(which == index)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
        row, column = ((place[axis, mine] * windows.shape[axis + 1]).astype(np.int64) for axis in (0, 1))
        pieces[mine] = windows[:, row, column].swapaxes(0, 1) * np.float32(_DIM)
    pieces[mirrored] = pieces[mirrored, :, :, ::-1]
    return pieces


@functools.cache
def _reduced(name: str) -> np.ndarray:
    """A photograph reduced by area to a short side of 160 pixels: (3, H, W) float32."""
    pixels = photograph(name)
    scale = _SHORT_SIDE / min(pixels.shape[1:])
    height, width = (round(side * scale) for side in pixels.shape[1:])
    return F.adaptive_avg_pool2d(pixels[None], (height, width))[0].numpy()
