"""What one running notebook knows: the exercise checked last, the hints given, and the learner's progress."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .memory import Progress

if TYPE_CHECKING:
    from .engine import Exercise


class Session:
    """The state of the checks in this kernel."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.last: Exercise | None = None
        self.hints_given: dict[str, int] = {}
        self.warned: set[str] = set()  # exercises whose solution was asked for before they were tried
        self._note = ""

    def new_note(self) -> str:
        """The note about the progress file, once: "" while it has not changed."""
        new = "" if self.progress.note == self._note else self.progress.note
        self._note = self.progress.note
        return new

    def forget(self, chosen: Callable[[str], bool]) -> list[str]:
        """Forget the progress, the hints and the warnings of the chosen items; returns what was in the file."""
        for item in filter(chosen, list(self.hints_given)):
            del self.hints_given[item]
        self.warned = {item for item in self.warned if not chosen(item)}
        return self.progress.forget(chosen)


SESSION = Session()
