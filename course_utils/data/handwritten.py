"""Handwritten digits: 5,000 of MNIST that ship with the course, or all 70,000 by a download.

LeCun, Bottou, Bengio, Haffner. Gradient-based learning applied to document recognition. Proceedings of the IEEE, 1998.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..resources import resource
from .dataset import ImageSet
from .download import CACHE

SPLITS = ("train", "test", "fit", "validation")
_SPLIT_SEED = 20240401


def digits(split: str | None = None, full: bool = False, root: str | Path | None = None) -> ImageSet:
    """Handwritten digits, 28 x 28, white on black.

    Within each digit, 400 of the 500 shipped images are for training and 100 for testing, always the same ones.
    Settings are chosen without the test images: "fit" and "validation" are 80 % and 20 % of "train".

    Args:
        split: "train", "test", "fit" or "validation"; None gives everything.
        full: all of MNIST (60,000 and 10,000), fetched once through torchvision.
        root: folder for the download; by default .cache/attention-course in your home folder.

    Returns:
        images (N, 1, 28, 28), labels (N,) from 0 to 9.

    Raises:
        ValueError: for a split of another name.
        ConnectionError: if the download fails.

    Example:
        >>> len(digits("train")), len(digits("test"))
        (4000, 1000)
    """
    images, labels = bytes_of(split, full, root)
    return ImageSet(images[:, None].float() / 255, labels)


def bytes_of(split: str | None, full: bool = False, root: str | Path | None = None) -> tuple[Tensor, Tensor]:
    """The same digits as (N, 28, 28) uint8 and (N,) int64."""
    if split is not None and split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; choose one of {', '.join(map(repr, SPLITS))}, or None for all.")
    if full:
        folder = CACHE if root is None else Path(root).expanduser()
        train, test = _mnist(folder)
    else:
        images, labels = _shipped()
        chosen, rest = _within_each_digit(labels, 0.8)
        train, test = (images[chosen], labels[chosen]), (images[rest], labels[rest])
    if split is None:
        return torch.cat((train[0], test[0])), torch.cat((train[1], test[1]))
    if split == "test":
        return test
    if split == "train":
        return train
    fit, validation = _within_each_digit(train[1], 0.8)
    chosen = fit if split == "fit" else validation
    return train[0][chosen], train[1][chosen]


@functools.cache
def _shipped() -> tuple[Tensor, Tensor]:
    with np.load(resource("data/mnist_5k.npz")) as stored:
        return torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"]).long()


def _within_each_digit(labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Two disjoint sets of indices, `share` of each digit in the first, in a fixed random order."""
    generator = np.random.default_rng(_SPLIT_SEED)
    first, second = [], []
    for digit in range(10):
        places = generator.permutation(np.flatnonzero(labels.numpy() == digit))
        border = round(share * len(places))
        first.append(places[:border])
        second.append(places[border:])
    return tuple(torch.from_numpy(generator.permutation(np.concatenate(part))) for part in (first, second))  # type: ignore[return-value]


def _mnist(root: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    from torchvision.datasets import MNIST

    try:
        train, test = (MNIST(root, train=train, download=True) for train in (True, False))
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        unpacked = [file for file in (root / "MNIST" / "raw").glob("*-ubyte") if file.is_file()]
        if len(unpacked) == 4:
            raise ConnectionError(
                f"The copy of MNIST in {root / 'MNIST'} is not whole ({reason[0]}): "
                "delete that folder and run this again."
            ) from error
        raise ConnectionError(
            f"MNIST could not be fetched into {root} ({reason[0]}): connect to the internet and run this again, "
            "or use the 5,000 shipped digits with full=False."
        ) from error
    return (train.data, train.targets), (test.data, test.targets)
