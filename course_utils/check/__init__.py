"""Exercises and their checks: one function per exercise, hints, solutions, quizzes, and a map of your progress.

from course_utils import check

check.squeeze(squeeze)   # not attempted / not yet, with the reason / right
check.hint()             # the next hint of the exercise checked last
check.solution()         # its official solution
check.progress()         # a map of the lessons
"""

import os
import sys
from typing import TYPE_CHECKING

from ..names import suggestion
from .card import Card
from .folders import exercises, items, lessons, predictions
from .folders import quiz as _questions
from .memory import ProgressError
from .progress_map import ProgressMap, Row
from .session import SESSION

if TYPE_CHECKING:
    from ..widgets.quiz.widget import Quiz
    from .engine import Exercise


def __getattr__(name: str) -> "Exercise":
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = exercises().get(name)
    if found is None:
        near = suggestion([f"check.{each}" for each in exercises()], f"check.{name}")
        raise AttributeError(f"there is no exercise {name!r}; {near}", name=name)
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *exercises()])


def hint() -> Card:
    """Show the next hint of the exercise checked last."""
    return SESSION.last.hint() if SESSION.last else _nothing_checked("hint")


def solution() -> Card:
    """Show the official solution of the exercise checked last; before a first attempt it must be asked for twice."""
    return SESSION.last.solution() if SESSION.last else _nothing_checked("solution")


def reset(what: str | None = None) -> Card:
    """Forget what was done.

    Args:
        what: an exercise's name, a lesson's number such as "4.1.1", or "all".
    """
    numbers = list(items())
    if what in exercises():
        item = exercises()[what].item
        done = SESSION.forget(lambda each: each == item)
    elif what in numbers:
        done = SESSION.forget(lambda each: each.startswith(f"{what}/"))
    elif what == "all":
        done = SESSION.forget(lambda each: True)
    else:
        words = f"Say what to forget: {suggestion([*exercises(), *numbers, 'all'], what)}"
        example = 'For example `check.reset("4.1.1")`; `check.reset("all")` forgets everything.'
        return Card("note", "Nothing was reset.", (f"{words} {example}",))
    forgotten = f"Forgotten: {', '.join(done)}." if done else "There was nothing to forget."
    return Card("note", "Reset.", (forgotten,)).adding(SESSION.new_note())


def progress() -> ProgressMap:
    """Show the lessons, with what is done in each."""
    states = SESSION.progress.states()
    parts = {
        number: tuple((item.partition("/")[2], states.get(item)) for item in names) for number, names in items().items()
    }
    rows = tuple(Row(lesson.number, lesson.title, parts[lesson.number]) for lesson in lessons())
    return ProgressMap(rows, note=" ".join(filter(None, (SESSION.progress.note, _where_it_lives()))))


def export_progress(path: str | os.PathLike[str] = "progress.json") -> Card:
    """Write a copy of the progress, to be taken elsewhere and read by `import_progress`."""
    try:
        target = SESSION.progress.export(path)
    except ProgressError as error:
        return Card("note", "Nothing was exported.", (str(error),))
    return Card("note", "Exported.", (f"{target.absolute()} holds your progress; `check.import_progress` reads it.",))


def import_progress(path: str | os.PathLike[str] = "progress.json") -> Card:
    """Add what an exported copy holds to the progress here."""
    try:
        count = SESSION.progress.load(path)
    except ProgressError as error:
        return Card("note", "Nothing was imported.", (str(error),))
    words = f"{count} items were read; `check.progress()` shows them."
    return Card("note", "Imported.", (words,)).adding(SESSION.new_note())


def quiz(number: str) -> "Quiz":
    """The quiz at the end of a lesson, such as `check.quiz("4.1.1")`; once all answers are right it counts as done.

    Raises:
        ValueError: if that lesson has no quiz.
    """
    from ..widgets.quiz.widget import Quiz

    widget = Quiz(_questions(number), key=f"{number}/quiz")
    widget.observe(lambda change: _remember(widget), names="answered")
    return widget


def predict(name: str) -> "Quiz":
    """A question to answer before touching a widget, such as `check.predict("4.1.1/shuffled")`.

    Raises:
        ValueError: if there is no such question.
    """
    from ..widgets.quiz.widget import Quiz

    number, _, question = name.partition("/")
    found = predictions(number)
    if question not in found:
        raise ValueError(f"Lesson {number} has no prediction {question!r}; {suggestion(found, question)}")
    return Quiz([found[question]], key=name, predict=True)


def _remember(widget: "Quiz") -> None:
    if any(index is not None for index in widget.answered):
        SESSION.progress.record(widget.key, "done" if widget.score == len(widget.questions) else "tried")


def _nothing_checked(wanted: str) -> Card:
    words = f"Check one first, for example `check.squeeze(squeeze)`; then `check.{wanted}()` knows which you mean."
    return Card("note", "No exercise was checked yet.", (words,))


def _where_it_lives() -> str:
    if "google.colab" in sys.modules:
        return (
            "On Colab this lives until the session ends: `check.export_progress()` writes a copy to download, "
            "`check.import_progress()` reads it next time."
        )
    return "This is kept in a file of your own; `check.export_progress()` writes a copy."


__all__ = [
    "exercises",
    "export_progress",
    "hint",
    "import_progress",
    "predict",
    "progress",
    "quiz",
    "reset",
    "solution",
]
