"""A class's progress as one table: the files that learners exported, read with care, written as CSV.

The files come from other people. One that is broken is named and left out, and what a spreadsheet would take for a
formula is written as text.
"""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from .folders import items
from .memory import Kept, ProgressError, read_progress

COLUMNS = ("learner", "file", "lesson", "exercise", "state", "tries", "hints", "solution shown", "last touched")
_OWN_FOLDERS = ("attention-course", "share", ".local")  # on the way to the file in a learner's home


def progress_files(given: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The files named, and in a folder every file below it that ends in .json, in the order of their names."""
    for each in map(Path, given):
        yield from sorted(filter(Path.is_file, each.rglob("*.json"))) if each.is_dir() else (each,)


def learner(path: Path) -> str:
    """The learner of a file: its name, or the name of its folder if the file is still called progress.json."""
    folders = (part for part in reversed(path.absolute().parent.parts) if part not in _OWN_FOLDERS)
    return next(folders, "") if path.stem == "progress" else path.stem


def rows(path: Path, kept: Kept) -> Iterator[tuple[str, ...]]:
    """A row for each exercise and quiz of the course, and after them for whatever else the file holds."""
    known = [item for names in items().values() for item in names]
    for item in [*known, *sorted({*kept.states, *kept.counts} - set(known))]:
        lesson, _, exercise = item.partition("/")
        count = kept.counts.get(item, {})
        yield (
            learner(path),
            str(path),
            lesson,
            exercise,
            kept.states.get(item, "not begun"),
            str(count.get("tries", "")),
            str(count.get("hints", "")),
            "yes" if count.get("solution") else "",
            str(count.get("last", "")),
        )


def cell(text: str) -> str:
    """A cell that a spreadsheet shows as it is: no formula, no character that cannot be written."""
    text = "".join(each if each.isprintable() else " " for each in text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) else text


def write_table(given: Iterable[str | os.PathLike[str]], to: IO[str]) -> list[str]:
    """Write the table of the named files and folders.

    Args:
        given: files that `check.export_progress` wrote, or folders of them.
        to: where the table goes; opened with `newline=""`.

    Returns:
        What was left out: a line for each broken file.
    """
    table = csv.writer(to, lineterminator="\n")
    table.writerow(COLUMNS)
    left_out = []
    for path in progress_files(given):
        try:
            kept = read_progress(path)
        except ProgressError as error:
            left_out.append(cell(f"{path} is left out: {error}"))
            continue
        table.writerows(tuple(map(cell, row)) for row in rows(path, kept))
    return left_out
