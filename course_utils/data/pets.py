"""Oxford-IIIT Pet: photographs of cats and dogs, each with the animal's outline.

Parkhi, Vedaldi, Zisserman, Jawahar. Cats and Dogs. CVPR 2012. The photographs are under CC BY-SA 4.0.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from .dataset import ImageSet
from .download import CACHE, DataError, fetch_archive
from .images import squared

_FOLDER = "oxford-iiit-pet"
_SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
_MD5 = {"annotations": "95a8c909bbe2e81eed6a22bccdf3f68f", "images": "5c4f3ee8e5d25df40f4fd59a7f44e54c"}
_LISTS = {"train": "trainval", "test": "test"}
_BACKGROUND = 2  # in a trimap: 1 the animal, 2 what is behind it, 3 the seam between them


def pets(root: str | Path | None = None, split: str = "train", size: int = 128, n: int | None = None) -> ImageSet:
    """Cats against dogs, with the place of the animal; fetched once, 800 MB, where they are not there yet.

    Of each photograph the largest centred square is taken and reduced. The mask is what the trimap does not call
    background.

    Args:
        root: folder that holds or will hold `oxford-iiit-pet`; by default .cache/attention-course in your home folder.
        split: "train" (3,680 photographs, the authors' trainval) or "test" (3,669).
        size: height and width of each image.
        n: how many photographs, always the same ones for the same n; by default all, which at 128 pixels takes
            0.7 GB of memory.

    Returns:
        images (N, 3, size, size); labels (N,), 0 for a cat and 1 for a dog; masks (N, size, size).

    Raises:
        ValueError: for an unknown split, a size below 1 or an n that the split does not have.
        ConnectionError: if the photographs cannot be fetched; what has come is kept, and the next call goes on there.
        DataError: if the folder is not whole or a file cannot be read; the message names it.

    Example:
        >>> pets(n=200).masks.shape
        torch.Size([200, 128, 128])
    """
    if split not in _LISTS:
        raise ValueError(f"There is no split {split!r} of the pets; choose one of {', '.join(map(repr, _LISTS))}.")
    if size < 1:
        raise ValueError(f"pets(size={size}) needs a size of at least 1 pixel; AttentionVGG16 takes 32 or more.")
    place = CACHE if root is None else Path(root).expanduser()
    folder = place / _FOLDER
    for part in _MD5:
        if not (folder / part).is_dir():
            fetch_archive(f"{_SOURCE}/{part}.tar.gz", _MD5[part], folder, part, "cued_scenes()", room="1.7 GB")
    names = _listed(folder, split)
    if n is not None and not 1 <= n <= len(names):
        raise ValueError(f"pets(n={n}) needs n from 1 to {len(names)}, the photographs of the split {split!r}.")

    from torchvision.datasets import OxfordIIITPet

    stored = OxfordIIITPet(place, _LISTS[split], ("binary-category", "segmentation"))
    order = np.random.default_rng(0).permutation(len(names))[:n]
    images = torch.empty(len(order), 3, size, size)
    masks = torch.empty(len(order), size, size, dtype=torch.bool)
    labels = torch.empty(len(order), dtype=torch.int64)
    for i, chosen in enumerate(tqdm(order, desc=f"reading {len(order)} pets", leave=False)):
        try:
            photograph, (label, trimap) = stored[int(chosen)]
            trimap.load()
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
            raise DataError(_unreadable(folder, names[chosen], error)) from error
        if photograph.size != trimap.size:
            raise DataError(
                f"{folder / 'images' / names[chosen]}.jpg has {photograph.width} x {photograph.height} pixels, but its "
                f"trimap {folder / 'annotations' / 'trimaps' / names[chosen]}.png has {trimap.width} x {trimap.height} "
                "pixels: one of them belongs to another photograph; fetch both again by deleting the folder."
            )
        pixels = np.asarray(squared(photograph, size, Image.Resampling.BILINEAR))  # (size, size, 3)
        images[i] = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
        kinds = np.asarray(squared(trimap, size, Image.Resampling.NEAREST))  # between two kinds there is no third
        masks[i] = torch.from_numpy(kinds != _BACKGROUND)
        labels[i] = label
    return ImageSet(images, labels, masks)


def _listed(folder: Path, split: str) -> list[str]:
    """The names in a split's list, after each was found to have its photograph and its trimap.

    Raises:
        DataError: names the first line that is not as it should be, or the first file that is missing.
    """
    path = folder / "annotations" / f"{_LISTS[split]}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): it should list the photographs of the split; {_cure(folder)}"
        ) from error
    names = []
    for count, line in enumerate(lines, start=1):
        words = line.split()
        if len(words) != 4 or not all(word.isdigit() for word in words[1:]) or words[2] not in ("1", "2"):
            raise DataError(
                f"{path}, line {count} is {line[:80]!r}: expected a name and three numbers, the second of them 1 for "
                f"a cat or 2 for a dog; {_cure(folder)}"
            )
        names.append(words[0])
    if not names:
        raise DataError(f"{path} is empty: expected one line per photograph; {_cure(folder)}")
    for kind, place, ending in (
        ("photograph", folder / "images", ".jpg"),
        ("trimap", folder / "annotations" / "trimaps", ".png"),
    ):
        there = {file.name for file in place.iterdir()} if place.is_dir() else set()
        missing = [name for name in names if name + ending not in there]
        if missing:
            at = names.index(missing[0]) + 1
            raise DataError(
                f"{path}, line {at} names {missing[0]!r}, but its {kind} {place / missing[0]}{ending} is not there "
                f"({len(missing)} of {len(names)} are missing); the folder was only partly copied, or the list is of "
                f"other photographs: {_cure(folder)}"
            )
    return names


def _unreadable(folder: Path, name: str, error: Exception) -> str:
    files = (folder / "images" / f"{name}.jpg", folder / "annotations" / "trimaps" / f"{name}.png")
    for file in files:
        try:
            with Image.open(file) as picture:
                picture.load()
        except Exception as reason:
            size = file.stat().st_size if file.is_file() else 0
            return f"{file} ({size:,} bytes) is not a whole picture ({reason}); {_cure(folder)}"
    return f"{files[0]} cannot be read ({error}); {_cure(folder)}"


def _cure(folder: Path) -> str:
    return f"copy {folder} again, or delete it and let pets() fetch it again."
