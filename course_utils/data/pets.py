"""Oxford-IIIT Pet: photographs of cats and dogs, each with the animal's outline.

Parkhi, Vedaldi, Zisserman, Jawahar. Cats and Dogs. CVPR 2012. The photographs are under CC BY-SA 4.0.
"""

import errno
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from .dataset import ImageSet

PETS = ("cat", "dog")

_FOLDER = "oxford-iiit-pet"
_SOURCE = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
_MD5 = {"annotations": "95a8c909bbe2e81eed6a22bccdf3f68f", "images": "5c4f3ee8e5d25df40f4fd59a7f44e54c"}
_LISTS = {"train": "trainval", "test": "test"}
_BACKGROUND = 2  # in a trimap: 1 the animal, 2 what is behind it, 3 the seam between them
_CHUNK = 1 << 18
_PATIENCE = 30.0  # seconds without a byte
_ATTEMPTS = 3  # in a row that bring nothing new


class DataError(RuntimeError):
    """A data folder is not whole, or holds something else than it should."""


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
    place = Path.home() / ".cache" / "attention-course" if root is None else Path(root).expanduser()
    folder = place / _FOLDER
    for part in _MD5:
        if not (folder / part).is_dir():
            _fetch(part, folder)
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
                f"{folder / 'images' / names[chosen]}.jpg has {_pixels(photograph)}, but its trimap "
                f"{folder / 'annotations' / 'trimaps' / names[chosen]}.png has {_pixels(trimap)}: one of them belongs "
                "to another photograph; fetch both again by deleting the folder."
            )
        pixels = np.asarray(_square(photograph, size, Image.Resampling.BILINEAR))  # (size, size, 3)
        images[i] = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
        kinds = np.asarray(_square(trimap, size, Image.Resampling.NEAREST))  # between two kinds there is no third
        masks[i] = torch.from_numpy(kinds != _BACKGROUND)
        labels[i] = label
    return ImageSet(images, labels, masks)


def _square(picture: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """The largest centred square, brought to size x size."""
    side = min(picture.size)
    left, top = ((length - side) / 2 for length in picture.size)
    return picture.resize((size, size), resampling, box=(left, top, left + side, top + side))


def _pixels(picture: Image.Image) -> str:
    return f"{picture.width} x {picture.height} pixels"


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
        raise DataError(f"{path} is empty: expected one line a photograph; {_cure(folder)}")
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
                f"({len(missing)} of {len(names)} are missing); the folder was copied by half, or the list belongs to "
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
    return f"copy {folder} again, or delete it and let pets() fetch it anew."


def _fetch(part: str, folder: Path) -> None:
    """Fetch an archive and unpack it beside its place; what is renamed into place is whole."""
    archive = folder / f"{part}.tar.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not archive.is_file() or _md5(archive) != _MD5[part]:
            _download(f"{_SOURCE}/{part}.tar.gz", archive, _MD5[part])
        unpacked = folder / f"{part}.unpacking"
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked, filter="data")
        (unpacked / part).rename(folder / part)
        shutil.rmtree(unpacked)
        archive.unlink()
    except (OSError, tarfile.TarError) as error:
        if isinstance(error, ConnectionError):
            raise
        room = " The disk is full; about 1.7 GB are needed." if getattr(error, "errno", 0) == errno.ENOSPC else ""
        raise DataError(f"The pets could not be put into {folder} ({error}).{room}") from error


def _download(address: str, target: Path, md5: str) -> None:
    """Fetch a file; where an earlier attempt broke off, go on from there.

    Raises:
        ConnectionError: if it cannot be reached, broke off, or is not the file that was expected.
    """
    partial = target.with_name(target.name + ".part")
    idle = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if _go_on(address, partial, before):
                break
            reason = "the connection was closed before the end"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        came = partial.stat().st_size if partial.exists() else 0
        idle = idle + 1 if came <= before else 0
        if idle >= _ATTEMPTS:
            kept = f" {came / 1e6:.1f} MB have come and are kept: the next call goes on there." if came else ""
            raise ConnectionError(
                f"{address} could not be fetched ({reason}).{kept} Connect to the internet and run this again, or work "
                "with cued_scenes(), which needs no download."
            )
    found = _md5(partial)
    if found != md5:
        partial.unlink()
        raise ConnectionError(
            f"{address} is not the file that was expected: MD5 {md5} expected, {found} found. What came was deleted; "
            "run this again."
        )
    partial.rename(target)


def _go_on(address: str, partial: Path, start: int) -> bool:
    """Fetch what comes after the first `start` bytes; whether the end was reached."""
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing comes after what is there
            return True
        raise
    with answer:
        if answer.status != 206:  # the server begins at the beginning
            start = 0
        length = answer.headers.get("Content-Length")
        whole = None if length is None else start + int(length)
        with (
            partial.open("ab" if start else "wb") as file,
            tqdm(total=whole, initial=start, desc=address.rpartition("/")[2], unit="B", unit_scale=True) as bar,
        ):
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return whole is None or partial.stat().st_size >= whole


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
