"""What a learner has done, remembered in one small JSON file of the learner's own.

Two notebooks may write at once: each change is made to the file as it is then, under a lock, and the file is replaced
in one step. If the file cannot be read or written, the change waits in memory and a note says so.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock, Timeout

from ..files import write_together
from .counts import Counts, added, are_counts, joined, now

State = Literal["tried", "done"]

_FORMAT = 1
_LARGEST = 10_000_000  # bytes; all of the course takes some thousand
_LOCK_SECONDS = 5.0


class ProgressError(RuntimeError):
    """A file of progress cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True)
class Kept:
    """What a file of progress holds, by the names of exercises and quizzes."""

    states: dict[str, State] = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)


def progress_file() -> Path:
    """Where progress is kept: the path in the environment variable COURSE_PROGRESS, else the user's data folder."""
    chosen = os.environ.get("COURSE_PROGRESS")
    if chosen:
        return Path(os.path.expanduser(chosen))
    return platformdirs.user_data_path("attention-course", appauthor=False) / "progress.json"


class Progress:
    """The state of each exercise and quiz, by names such as "4.1.1/squeeze".

    Attributes:
        note: what went wrong with the file, said to the learner, else "".
    """

    def __init__(self) -> None:
        self.note = ""
        # Changes that are not in the file yet; None removes an item.
        self._waiting: dict[str, State | None] = {}
        self._counted: Counts = {}
        self._tries: dict[str, int] = {}

    def states(self) -> dict[str, State]:
        """What is in the file, with the changes that still wait."""
        return self._kept().states

    def _kept(self) -> Kept:
        if not (self._waiting or self._counted):
            self.note = ""
        try:
            kept = _parse(progress_file()) or Kept()
        except ProgressError as error:
            self._say(error)
            kept = Kept()
        return self._with_changes(kept)

    def _with_changes(self, kept: Kept) -> Kept:
        counts = {item: count for item, count in kept.counts.items() if self._waiting.get(item, "") is not None}
        return Kept(_merge(kept.states, self._waiting), added(joined(counts, self._counted), self._tries))

    def record(self, item: str, state: State) -> None:
        """Remember that an item was tried or done; what is done stays done."""
        if self._waiting.get(item) != "done":
            self._waiting[item] = state
        self._tries[item] = self._tries.get(item, 0) + 1
        self.count(item)

    def count(self, item: str, **numbers: int) -> None:
        """Remember `hints=2` or `solution=1` of an item, where more was not remembered already, and that it is now."""
        self._counted = joined(self._counted, {item: {**numbers, "last": now()}})
        self._save()

    def forget(self, chosen: Callable[[str], bool]) -> list[str]:
        """Forget the items whose name is chosen, and return their names."""
        kept = self._kept()
        for item in filter(chosen, {*kept.states, *kept.counts}):
            self._waiting[item] = None
            self._counted.pop(item, None)
            self._tries.pop(item, None)
        self._save()
        return sorted(filter(chosen, kept.states))

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write a copy that `load` takes back; another file of that name is never overwritten.

        Raises:
            ProgressError: if there is such a file, or the copy cannot be written.
        """
        target = Path(os.path.expanduser(path))
        if target.exists():
            try:
                _parse(target)
            except ProgressError as error:
                raise ProgressError(f"{target} is there already and holds no progress; choose another name.") from error
        _replace(target, self._kept())
        return target

    def load(self, path: str | os.PathLike[str]) -> int:
        """Add what an exported copy holds; returns how many items it holds.

        Raises:
            ProgressError: if it is not there or holds no progress.
        """
        kept = read_progress(Path(os.path.expanduser(path)))
        self._waiting.update(_merge(kept.states, {k: v for k, v in self._waiting.items() if v is not None}))
        self._counted = joined(self._counted, kept.counts)
        self._save()
        return len(kept.states)

    def _save(self) -> None:
        self.note = ""
        try:
            path = progress_file()
            _make_folder(path)
            _refuse_devices(path)
            with _locked(path):
                _replace(path, self._with_changes(self._read_locked(path)))
        except ProgressError as error:
            self._say(error)
        else:
            self._waiting.clear()
            self._counted.clear()
            self._tries.clear()

    def _read_locked(self, path: Path) -> Kept:
        """What the file holds. A damaged file is kept aside under another name, so that nothing in it is lost."""
        try:
            return _parse(path) or Kept()
        except _DamagedFileError as error:
            aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
            try:
                path.rename(aside)
            except OSError as failure:
                raise ProgressError(f"{error} It could not be moved aside either ({_why(failure)}).") from failure
            self.note = f"{error} It was kept as {aside}, and a new file was begun."
            return Kept()

    def _say(self, error: ProgressError) -> None:
        self.note = (
            f"{error} Your progress is kept until this notebook closes; to keep it longer, name a file that you may "
            'write: `import os; os.environ["COURSE_PROGRESS"] = "my_progress.json"`.'
        )


def read_progress(path: Path) -> Kept:
    """What somebody's file of progress holds.

    Raises:
        ProgressError: if it is not there, cannot be read, or holds no progress.
    """
    kept = _parse(path)
    if kept is None:
        raise ProgressError(f"There is no file {path}; give the path that check.export_progress wrote.")
    return kept


class _DamagedFileError(ProgressError):
    """The file can be read but does not hold progress."""


def _merge(states: Mapping[str, State], changes: Mapping[str, State | None]) -> dict[str, State]:
    merged = dict(states)
    for item, state in changes.items():
        if state is None:
            merged.pop(item, None)
        elif merged.get(item) != "done":
            merged[item] = state
    return merged


def _parse(path: Path) -> Kept | None:
    """What a file holds; None where there is no file."""
    try:
        _refuse_devices(path)
        size = path.stat().st_size
        if size > _LARGEST:
            raise _DamagedFileError(f"The progress file {path} is damaged: it has {size / 1e6:.0f} MB.")
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        raise ProgressError(f"The progress file {path} could not be read ({_why(error)}).") from error
    try:
        content = json.loads(text)
        if type(content["format"]) is int and content["format"] != _FORMAT:
            raise _DamagedFileError(
                f"The progress file {path} is of format {str(content['format'])[:20]}, from another version of the "
                f"course; this one reads format {_FORMAT}."
            )
        states, counts = content["items"], content.get("counts", {})
        known = all(state in ("tried", "done") for state in states.values())
        if content["format"] == _FORMAT and known and are_counts(counts):
            return Kept(dict(states), counts)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise _DamagedFileError(f"The progress file {path} is damaged.")


def _refuse_devices(path: Path) -> None:
    """A pipe would never end, and a device must not be moved aside or replaced."""
    with contextlib.suppress(OSError, ValueError):
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise ProgressError(f"{path} is a device or a pipe; progress needs an ordinary file.")


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ProgressError(f"{path.parent} is a file; the folder for {path.name} was to be there.") from error
    except OSError as error:
        raise ProgressError(f"The folder {path.parent} could not be made ({_why(error)}).") from error


def _replace(path: Path, kept: Kept) -> None:
    states, counts = dict(sorted(kept.states.items())), dict(sorted(kept.counts.items()))
    content = json.dumps({"format": _FORMAT, "items": states, "counts": counts}, indent=1) + "\n"
    try:
        write_together({Path(os.path.realpath(path)): content.encode()})  # a link to a file elsewhere stays a link
    except (OSError, ValueError) as error:
        raise ProgressError(f"The progress file {path} could not be written ({_why(error)}).") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS, poll_interval=0.01)
    try:
        lock.acquire()
    except Timeout as error:
        raise ProgressError(f"Another notebook is holding the progress file {path}.") from error
    except NotImplementedError:  # a file system without locks, such as some network drives: write without one
        pass
    except OSError as error:
        raise ProgressError(f"The progress file {path} could not be locked ({_why(error)}).") from error
    try:
        yield
    finally:
        lock.release()


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", "") or str(error)
