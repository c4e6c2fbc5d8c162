"""Where resource/ is, in a clone and in an install, and whether its files are whole.

Every shipped file stands with its SHA-256 in resource/LICENSES.md; a file is checked against it when it is read.
Recorded results, and that list itself, stand in resource/SHA256SUMS: a study that is run again replaces its results.
`python -m course_utils.resources` compares every file of both lists.
"""

import difflib
import functools
import hashlib
import re
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent
_SUMS = "SHA256SUMS"
_SUM = re.compile(r"^([0-9a-f]{64})  (\S.*)$")
_ROW = re.compile(r"^\|\s*`([^`]+)`.*\|\s*`([0-9a-f]{64})`\s*\|\s*$")


class ResourceError(RuntimeError):
    """A shipped file is missing or not the one that was shipped."""


def resource_root() -> Path:
    """The folder resource/: beside the package in a clone, inside it in an install.

    Raises:
        ResourceError: if neither is there.
    """
    for root in (_PACKAGE.parent / "resource", _PACKAGE / "resource"):
        if root.is_dir():
            return root
    raise ResourceError(
        f"The folder resource/ is neither beside nor inside {_PACKAGE}; clone or install the course again."
    )


@functools.cache
def checksums() -> dict[str, str]:
    """The SHA-256 of every shipped file, by its path below resource/, as listed in LICENSES.md."""
    return {row[1]: row[2] for row in map(_ROW.match, _lines("LICENSES.md")) if row}


def resource(name: str) -> Path:
    """The path of a shipped file, after its checksum was compared.

    Args:
        name: path below resource/, with forward slashes, such as "data/mnist_5k.npz".

    Raises:
        ResourceError: if the file is missing, changed or not listed; the message names the file, the checksum
            expected and found, and how to restore it.
    """
    path = resource_root() / name
    expected = checksums().get(name)
    if expected is None:
        near = difflib.get_close_matches(name, checksums(), n=1)
        raise ResourceError(
            f"resource/{name} is not listed in resource/LICENSES.md{f'; did you mean {near[0]!r}?' if near else '.'}"
        )
    try:
        stamp = path.stat()
        found = _digest(path, stamp.st_mtime_ns, stamp.st_size)
    except OSError as error:
        raise ResourceError(f"{path} cannot be read ({error.strerror or error}); {_cure(name)}") from error
    if found != expected:
        raise ResourceError(
            f"{path} is not the file that was shipped: expected SHA-256 {expected}, found {found}; {_cure(name)}"
        )
    return path


def damaged() -> list[str]:
    """What is not as it was shipped: a line for each file that is missing, changed, or stands in neither list."""
    root = resource_root()
    sums = [_SUM.match(line) for line in _lines(_SUMS)]
    problems = [f"{_SUMS}, line {count} is no checksum with a path" for count, row in enumerate(sums, 1) if not row]
    listed = {row[2]: row[1] for row in sums if row} | checksums()
    for name, expected in sorted(listed.items()):
        try:
            found = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror or error})")
            continue
        if found != expected:
            problems.append(f"{name} is not the file that was shipped: expected SHA-256 {expected}, found {found}")
    there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    unlisted = (name for name in sorted(there - {*listed, _SUMS}) if not Path(name).name.startswith("."))
    problems += [f"{name} stands neither in LICENSES.md nor in {_SUMS}" for name in unlisted]
    return problems


def _lines(name: str) -> list[str]:
    listing = resource_root() / name
    try:
        return listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise ResourceError(f"{listing} cannot be read ({error}); {_cure(name)}") from error


@functools.lru_cache(maxsize=256)
def _digest(path: Path, _modified: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _cure(name: str) -> str:
    return f"restore it with `git checkout -- resource/{name}` in a clone, or install the course again."


def _main() -> int:
    root, problems = resource_root(), damaged()
    if problems:
        problems += [f"`git checkout -- resource` restores {root} in a clone; else install the course again."]
    print("\n".join(problems) or f"Every file in {root} is as it was shipped.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(_main())
