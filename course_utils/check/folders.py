"""What the lessons ask, found by the names of their folders in course_utils/lessons and read when it is asked for."""

import functools
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..widgets.quiz.widget import Question
    from .engine import Exercise

_LESSONS = f"{__package__.rpartition('.')[0]}.lessons"


def lessons() -> tuple[Any, ...]:
    """Every `Lesson`, in reading order."""
    return importlib.import_module(_LESSONS).LESSONS


@functools.cache
def exercises() -> "dict[str, Exercise]":
    """Every exercise by its name, in the order of the lessons.

    Raises:
        LessonFileError: if a lesson's exercises.toml is missing or damaged.
    """
    return {exercise.name: exercise for lesson in lessons() for exercise in _exercises(lesson)}


def _exercises(lesson: Any) -> "Iterator[Exercise]":
    from .changes import PORT_WORDS
    from .tasks import WORDS

    tasks = importlib.import_module(f"{_LESSONS}.{lesson.folder.name}.exercises").TASKS
    table = lesson.read("exercises.toml", {task.official.__name__: dict for task in tasks})
    check_keys = importlib.import_module(_LESSONS).check_keys
    for task in tasks:
        place = f"The exercise {task.official.__name__!r} in {lesson.folder / 'exercises.toml'}"
        words = {"axes": [], "parts": [], "mistakes": {}, "faults": {}} | table[task.official.__name__]
        check_keys(words, WORDS | {"mistakes": dict, "faults": dict}, place)
        check_keys(words["mistakes"], dict.fromkeys(task.mistakes, str), f"The mistakes of {place[4:]}")
        faults = [*PORT_WORDS, *(fault for each in task.faults for fault in each)] if task.faults else []
        check_keys(words["faults"], dict.fromkeys(faults, str), f"The faults of {place[4:]}")
        yield task.exercise(lesson.number, words)


def items() -> dict[str, list[str]]:
    """By each lesson's number, the names under which progress is kept: its exercises, then its quiz."""
    found: dict[str, list[str]] = {lesson.number: [] for lesson in lessons()}
    for exercise in exercises().values():
        found[exercise.lesson].append(exercise.item)
    return {number: [*names, f"{number}/quiz"] for number, names in found.items()}


def quiz(number: str) -> "list[Question]":
    """The questions at the end of a lesson.

    Raises:
        ValueError: if there is no such lesson.
    """
    return [_question(question, number) for question in _read(number)["quiz"]]


def predictions(number: str) -> "dict[str, Question]":
    """The questions that a lesson asks before its widgets, by name.

    Raises:
        ValueError: if there is no such lesson.
    """
    return {name: _question(question, number) for name, question in _read(number)["predictions"].items()}


def _read(number: str) -> dict[str, Any]:
    lesson = importlib.import_module(_LESSONS).lesson(number)
    return lesson.read("questions.toml", {"predictions": dict, "quiz": list})


def _question(content: object, number: str) -> "Question":
    from ..widgets.quiz.widget import Question

    module = importlib.import_module(_LESSONS)
    place = f"A question in {module.lesson(number).folder / 'questions.toml'}"
    module.check_keys(content, {"text": str, "options": dict, "right": str}, place)
    return Question(**content)  # type: ignore[arg-type]
