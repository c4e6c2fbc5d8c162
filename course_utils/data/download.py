"""Fetching what is too large to ship: with a bar, a checksum, and going on where a connection broke."""

import errno
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

CACHE = Path.home() / ".cache" / "attention-course"
"""Where downloads lie unless another folder is named."""

_CHUNK = 1 << 18
_PATIENCE = 30.0  # seconds without a byte
_ATTEMPTS = 3  # in a row that bring nothing new


class DataError(RuntimeError):
    """A data folder is not whole, or holds something else than it should."""


def fetch_archive(address: str, md5: str, folder: Path, part: str, instead: str, room: str) -> None:
    """Fetch a .tar.gz and unpack the folder `part` that it holds; what is renamed into its place is whole.

    Args:
        address: of the archive.
        md5: its checksum.
        folder: where `part` will lie.
        part: the folder in the archive.
        instead: what needs no download, for the message without a network.
        room: how much the disk must hold, for the message when it is full.

    Raises:
        ConnectionError: if it cannot be fetched; what has come is kept, and the next call goes on there.
        DataError: if it cannot be unpacked or stored.
    """
    archive = folder / address.rpartition("/")[2]
    with _storing(archive.name, folder, room):
        if not archive.is_file() or _digest(archive, "md5") != md5:
            _download(address, archive, md5, instead)
        unpacked = folder / f"{part}.unpacking"
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked, filter="data")
        (unpacked / part).rename(folder / part)
        shutil.rmtree(unpacked)
        archive.unlink()


def hub_weights(repository: str) -> Path:
    """Fetch a network's trained weights from the Hugging Face hub, as safetensors, and keep them for the next time.

    The hub names the file's SHA-256 before it sends it. What comes is compared with it, and so is the kept file each
    time it is used.

    Args:
        repository: whose `model.safetensors` is wanted, such as "timm/vit_small_patch16_224.dino".

    Returns:
        The file in .cache/attention-course/networks in your home folder.

    Raises:
        ConnectionError: if it cannot be fetched; what has come is kept, and the next call goes on there.
        DataError: if it cannot be stored, or the kept file is damaged.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    folder, stem = CACHE / "networks", repository.replace("/", "-")
    for kept in folder.glob(f"{stem}-*.safetensors"):
        if _digest(kept, "sha256").startswith(kept.stem.rpartition("-")[2]):
            return kept
        kept.unlink()
        raise DataError(f"{kept} was damaged: its checksum is another one. It was deleted; run this again to fetch it.")
    address, instead = hf_hub_url(repository, "model.safetensors"), 'load_network("vit_cued_digits")'
    try:
        digest = get_hf_file_metadata(address).etag or ""
    except Exception as error:  # the library's own, its HTTP client's, or the system's
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConnectionError(
            f"{address} could not be reached ({reason}). Connect to the internet and run this again, or work with "
            f"{instead}, which needs no download."
        ) from error
    if len(digest) != 64:
        raise ConnectionError(f"{address} comes without a SHA-256 to compare it with, so it was not fetched.")
    target = folder / f"{stem}-{digest[:16]}.safetensors"
    with _storing(target.name, folder, room="100 MB"):
        _download(address, target, digest, instead)
    return target


@contextmanager
def _storing(name: str, folder: Path, room: str) -> Iterator[None]:
    """Make the folder; say what cannot be put into it, and why."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except ConnectionError:
        raise
    except (OSError, tarfile.TarError) as error:
        full = f" The disk is full; about {room} are needed." if getattr(error, "errno", 0) == errno.ENOSPC else ""
        raise DataError(f"{name} could not be put into {folder} ({error}).{full}") from error


def _download(address: str, target: Path, digest: str, instead: str) -> None:
    """Fetch a file; where an earlier attempt broke off, go on from there. The digest is an MD5 or a SHA-256.

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
                f"with {instead}, which needs no download."
            )
    kind = "sha256" if len(digest) == 64 else "md5"
    found = _digest(partial, kind)
    if found != digest:
        partial.unlink()
        raise ConnectionError(
            f"{address} is not the file that was expected: {kind} {digest} expected, {found} found. What came was "
            "deleted; run this again."
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


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
