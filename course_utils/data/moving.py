"""Moving digits: short clips in which one digit drifts and another stands still."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .handwritten import SPLITS, bytes_of
from .sized import scaled

_NOISE = 0.15
_SIDE = 14
_LEAST_WAY = 14  # pixels from the first frame to the last: the digit's own side, so that it leaves its place


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Short films with the answer to each.

    Args:
        clips: (N, T, 1, H, W) float32, each value in [0, 1]: T grey frames.
        labels: (N,) int64, the digit that moves.
        moving: (N, T, H, W) bool, True in the square of the moving digit.
        standing: (N, H, W) bool, True in the square of the digit that stands still, the same in every frame.
    """

    clips: Tensor
    labels: Tensor
    moving: Tensor
    standing: Tensor


def moving_digits(n: int, seed: int, split: str = "train", frames: int = 6, size: int = 40) -> ClipSet:
    """Clips of two digits on a little noise: one drifts in a straight line, the other stands still.

    The moving digit goes at least as far as it is wide, at one speed, and never meets the other. Each frame has
    its own noise.

    Args:
        n: how many clips.
        seed: the same n, seed and split give the same clips.
        split: whose digits are used: "train", "test", "fit" or "validation".
        frames: T, at least 2.
        size: height and width, at least 40.

    Returns:
        clips (n, frames, 1, size, size), labels (n,), and the two digits' places.

    Raises:
        ValueError: for an unknown split, a negative n, fewer than 2 frames or a size below 40.

    Example:
        >>> moving_digits(3, seed=0).clips.shape
        torch.Size([3, 6, 1, 40, 40])
    """
    if n < 0 or frames < 2 or size < 40:
        raise ValueError(
            f"moving_digits(n={n}, frames={frames}, size={size}) needs n >= 0, at least 2 frames and size >= 40, "
            "so that one digit can pass the other."
        )
    images, labels = bytes_of(split)
    random = np.random.default_rng((seed, SPLITS.index(split)))
    chosen = random.integers(len(images), size=(n, 2))  # the moving and the standing digit
    glyphs = scaled(images[torch.from_numpy(chosen.reshape(-1))], _SIDE).numpy().reshape(n, 2, _SIDE, _SIDE)
    clips = random.random((n, frames, 1, size, size), dtype=np.float32) * np.float32(_NOISE)
    moving = np.zeros((n, frames, size, size), dtype=bool)
    standing = np.zeros((n, size, size), dtype=bool)
    for i in range(n):
        way, place = _draw_way(random, frames, size)
        square = np.s_[place[0] : place[0] + _SIDE, place[1] : place[1] + _SIDE]
        standing[i][square] = True
        for t, (row, column) in enumerate(way):
            here = np.s_[row : row + _SIDE, column : column + _SIDE]
            frame = clips[i, t, 0]
            frame[square] = np.maximum(frame[square], glyphs[i, 1])
            frame[here] = np.maximum(frame[here], glyphs[i, 0])
            moving[i, t][here] = True
    answers = labels[torch.from_numpy(chosen[:, 0])]
    return ClipSet(torch.from_numpy(clips), answers, torch.from_numpy(moving), torch.from_numpy(standing))


def _draw_way(random: np.random.Generator, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The moving digit's upper left corner in each frame, (frames, 2), and that of the standing one, (2,)."""
    while True:
        start, end, place = random.integers(size - _SIDE + 1, size=(3, 2))
        if np.abs(end - start).max() < _LEAST_WAY:
            continue
        way = np.rint(start + (end - start) * np.linspace(0, 1, frames)[:, None]).astype(np.int64)
        if (np.abs(way - place).max(axis=1) >= _SIDE).all():
            return way, place
