"""The finished runs of a study on the disk: runs.jsonl, one line for each run.

A line with "study" opens a block: it holds what the runs of the block share (settings, versions, machine, commit), and
each run's line gives the number of its block, counted from 1. Lines are appended under a lock, in one write that is
forced to the disk. What follows the last line break was cut off by a kill or a full disk: it is dropped, and that run
is done again.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from course_utils.resources import resource_root

if TYPE_CHECKING:  # torch comes with it, which a writer of runs does not need
    from .study import Study

FILE = "runs.jsonl"
FORMAT = 2
_NUMBERS = ("parameters", "accuracy", "seconds")
_SHARED = ("versions", "machine", "commit")
_BLOCK = ("study", "format", "settings", "arguments", *_SHARED)
_OF_A_RUN = ("task", "entry", "seed", "lr", "scored_on")


class StudyError(RuntimeError):
    """Results are missing, broken, or made with other settings."""


class Key(NamedTuple):
    """What distinguishes a run from the others of its study."""

    task: str
    entry: str
    seed: int
    lr: float


class Ledger(NamedTuple):
    """What runs.jsonl holds: blocks by their number, from 1, and the runs, each with `settings` of its own."""

    blocks: list[dict[str, Any]]
    runs: dict[Key, dict[str, Any]]


def results_folder(study: Study, out: str | Path | None = None) -> Path:
    """The study's folder below `out`; by default below resource/results, or below runs where it does not ship."""
    default = resource_root() / "results" if study.shipped else Path("runs")
    return (default if out is None else Path(out)) / study.name


def made_folder(study: Study, out: str | Path | None = None) -> Path:
    """The study's folder below `out`, made where it is missing.

    Raises:
        StudyError: if it cannot be made.
    """
    folder = results_folder(study, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(
            f"{folder} cannot be made a folder ({error.strerror}); choose another one by --out."
        ) from error
    return folder


def read_runs(folder: Path) -> dict[Key, dict[str, Any]]:
    """Every finished run of a study's folder; none where nothing was recorded.

    Each is a dictionary: settings, versions, machine, commit, parameters, accuracy (0 to 1), confusion, measures,
    train_loss, seconds, and how many images were trained and scored on.

    Raises:
        StudyError: if a line is broken or of another format; the message names the file and the line.
    """
    return _parsed(folder / FILE, _whole_lines(folder / FILE)).runs


def append_run(folder: Path, result: dict[str, Any], arguments: dict[str, Any]) -> bool:
    """Add a finished run, and its block's line where no block before it is the same.

    Args:
        folder: of the study; it must be there.
        result: as `read_runs` gives it.
        arguments: of every network of the study, by name; the same for all runs of a block.

    Returns:
        Whether it was added: a run that is there already, from a second runner, is left as it is.

    Raises:
        OSError: if it cannot be written; what was there before is left whole.
        StudyError: if what is there cannot be read.
    """
    path = folder / FILE
    settings = result["settings"]
    shared = {name: value for name, value in settings.items() if name not in (*_OF_A_RUN, "arguments", "study")}
    made = {name: result[name] for name in _SHARED}
    block = {"study": settings["study"], "format": FORMAT, "settings": shared, "arguments": arguments, **made}
    block = json.loads(json.dumps(block))  # tuples become lists, as in a block that was read
    own = {name: value for name, value in result.items() if name not in ("settings", *made)}
    with FileLock(folder / f".{FILE}.lock"):
        whole = _whole_lines(path)
        known = _parsed(path, whole)
        if Key(*(settings[name] for name in Key._fields)) in known.runs:
            return False
        lines = [] if block in known.blocks else [block]
        number = (known.blocks + lines).index(block) + 1
        lines.append({"block": number, **{name: settings[name] for name in _OF_A_RUN}, **own})
        _append(path, len(whole), "".join(json.dumps(line) + "\n" for line in lines).encode())
    return True


def _append(path: Path, length: int, content: bytes) -> None:
    """Put the content behind the first `length` bytes."""
    try:
        with path.open("ab") as file:
            file.truncate(length)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, length)
        words = f"{error.strerror or error}; the runs that were there are as they were. Make room and run again"
        raise OSError(error.errno, words, str(path)) from error


def _whole_lines(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    except NotADirectoryError:
        raise StudyError(f"{path.parent} is not a folder of results, but a file; choose another --out.") from None
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror or error}).") from error
    return content[: content.rfind(b"\n") + 1]


def _parsed(path: Path, content: bytes) -> Ledger:
    ledger = Ledger([], {})
    for number, line in enumerate(content.splitlines(), 1):
        try:
            _take(json.loads(line), ledger)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StudyError(
                f"{path}, line {number}, is not one of format {FORMAT} ({error!r}): a block's line needs "
                f"{', '.join(_BLOCK)}; a run's line needs block, {', '.join(_OF_A_RUN)} and numbers for "
                f"{', '.join(_NUMBERS)}. Restore the file, or delete that line and run the study again."
            ) from error
    return ledger


def _take(line: dict[str, Any], ledger: Ledger) -> None:
    if "study" in line:
        if line["format"] != FORMAT:
            raise ValueError(f"it is of format {line['format']!r}")
        ledger.blocks.append({name: line[name] for name in _BLOCK})
        return
    run = dict(line)
    block_number = run.pop("block")
    if type(block_number) is not int or not 1 <= block_number <= len(ledger.blocks):
        raise ValueError(f"no line before it opens block {block_number!r}")
    block = ledger.blocks[block_number - 1]
    own = {name: run.pop(name) for name in _OF_A_RUN}
    arguments = block["arguments"][own["entry"]]
    for name in _NUMBERS:
        if type(run[name]) not in (int, float):
            raise ValueError(f"its {name} is {run[name]!r}")
    if not 0 <= run["accuracy"] <= 1:
        raise ValueError(f"its accuracy is {run['accuracy']}, which does not lie between 0 and 1")
    key = Key(*(own[name] for name in Key._fields))
    if key in ledger.runs:
        raise ValueError("an earlier line holds the same run")
    settings = {"study": block["study"], **own, "arguments": arguments, **block["settings"]}
    made = {name: block[name] for name in _SHARED}
    ledger.runs[key] = {"settings": settings, **run, **made}
