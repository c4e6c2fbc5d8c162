"""CIFAR-10: small colour photographs of ten kinds of things, by a download.

Krizhevsky. Learning Multiple Layers of Features from Tiny Images. 2009. The binary version is read: plain bytes.
"""

from pathlib import Path

import numpy as np
import torch

from .dataset import ImageSet
from .download import CACHE, DataError, fetch_archive

_SOURCE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
_FOLDER = "cifar-10-batches-bin"
_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
_SPLIT_SEED = 20240401


def cifar10(split: str = "train", n: int | None = None, seed: int = 0, root: str | Path | None = None) -> ImageSet:
    """Photographs of 32 x 32 pixels; fetched once, 170 MB, where they are not there yet.

    Settings are chosen without the test images: "fit" and "validation" are 80 % and 20 % of "train".

    Args:
        split: "train" (50,000), "test" (10,000), "fit" or "validation".
        n: how many images, drawn by the seed; by default all.
        seed: of the drawing.
        root: folder that holds or will hold `cifar-10-batches-bin`; by default .cache/attention-course in your home
            folder.

    Returns:
        images (N, 3, 32, 32), labels (N,): 0 to 9 for airplane, automobile, bird, cat, deer, dog, frog, horse, ship,
        truck.

    Raises:
        ValueError: for an unknown split, or an n that the split does not have.
        ConnectionError: if it cannot be fetched; what has come is kept, and the next call goes on there.
        DataError: if the folder is not whole; the message names the file.

    Example:
        >>> cifar10("test", n=1000).images.shape
        torch.Size([1000, 3, 32, 32])
    """
    if split not in ("train", "test", "fit", "validation"):
        raise ValueError(f"There is no split {split!r} of CIFAR-10; choose 'train', 'test', 'fit' or 'validation'.")
    folder = CACHE if root is None else Path(root).expanduser()
    if not (folder / _FOLDER).is_dir():
        fetch_archive(_SOURCE, _MD5, folder, _FOLDER, "cued_digits()", room="360 MB")
    records = np.concatenate(
        [_records(folder / _FOLDER / name) for name in _FILES["test" if split == "test" else "train"]]
    )
    if split in ("fit", "validation"):
        order, border = np.random.default_rng(_SPLIT_SEED).permutation(len(records)), len(records) * 4 // 5
        records = records[order[:border] if split == "fit" else order[border:]]
    if n is not None:
        if not 1 <= n <= len(records):
            raise ValueError(f"cifar10(n={n}) needs n from 1 to {len(records)}, the images of the split {split!r}.")
        records = records[np.random.default_rng(seed).permutation(len(records))[:n]]
    pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return ImageSet(pixels.float() / 255, torch.from_numpy(records[:, 0].astype(np.int64)))


def _records(path: Path) -> np.ndarray:
    """The images of a file, (N, 1 + 3072) bytes, after its length and labels were found to be right."""
    cure = f"delete {path.parent} and let cifar10() fetch it again"
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}): it should hold images of CIFAR-10; {cure}."
        ) from error
    if not len(content) or len(content) % _RECORD:
        raise DataError(
            f"{path} has {len(content):,} bytes, no whole number of images of {_RECORD:,} bytes: it was only "
            f"partly copied; {cure}."
        )
    records = content.reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        place = int((records[:, 0] > 9).argmax())
        raise DataError(
            f"{path}, image {place} has the label {records[place, 0]}, but CIFAR-10 has 0 to 9: this is another data "
            f"set, perhaps CIFAR-100; {cure}."
        )
    return records
