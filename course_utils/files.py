"""Files that are never seen half-written."""

import os
from collections.abc import Mapping
from pathlib import Path


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files beside their places, and rename none into its place before all of them are on the disk.

    Raises:
        OSError: if one cannot be written; what was there before is as it was.
    """
    partials = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in files}
    try:
        for path, partial in partials.items():
            partial.write_bytes(files[path])
            with partial.open("rb+") as written:
                os.fsync(written.fileno())
        for path, partial in partials.items():
            partial.replace(path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
