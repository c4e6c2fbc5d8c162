"""Result files that are never seen half-written."""

from pathlib import Path

from course_utils.files import write_together


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, then rename it into place: readers see all of it or nothing.

    Raises:
        OSError: if it cannot be written; it names the file and says what to do.
    """
    try:
        write_together({path: content})
    except OSError as error:
        words = f"{error.strerror or error}; what was there before is as it was. Make room, or choose another folder"
        raise OSError(error.errno, words, str(path)) from error
