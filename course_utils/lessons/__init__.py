"""The lessons in reading order, each with its own folder here, and the words of the course.

from course_utils.lessons import LESSONS, glossary

glossary()            # all words, in alphabetical order
glossary("4.1.1")     # the words of one lesson

A lesson is a notebook in notebooks/ and a folder of the same name without the number:

    senet/lesson.toml       number, notebook, title, minutes to read and try, the words that it introduces, and the
                            steps that its widgets offer as buttons
    senet/exercises.py      the code of its exercises; course_utils.check imports it when one is asked for
    senet/exercises.toml    their words: hints, and a message for each typical mistake
    senet/questions.toml    its predictions and its quiz
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .words import Glossary, Term

if TYPE_CHECKING:
    from ..widgets import CourseWidget

Shown = TypeVar("Shown", bound="CourseWidget")

HERE = Path(__file__).parent


class LessonFileError(RuntimeError):
    """A file of a lesson's folder is missing or damaged; the message names it and says what to do."""


@dataclass(frozen=True)
class Lesson:
    """A notebook with its folder."""

    number: str  # such as "4.1.1"
    notebook: str  # its file in notebooks/
    title: str
    minutes: int  # to read and try; each exercise says its own
    words: tuple[Term, ...]  # that it introduces
    steps: Mapping[str, list[dict[str, Any]]]  # what to try in a widget, by the widget's folder; see `with_steps`
    folder: Path  # of its exercises and questions

    def read(self, name: str, wanted: Mapping[str, type]) -> dict[str, Any]:
        """Read a TOML file of the lesson's folder; see `read_toml`."""
        return read_toml(self.folder / name, wanted)


def read_toml(path: Path, wanted: Mapping[str, type]) -> dict[str, Any]:
    """Read a TOML file; `wanted` are the keys that it must have, each with the type of its value.

    Raises:
        LessonFileError: if the file is missing, is not TOML, or lacks a key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LessonFileError(f"{path} is missing. {_expected(wanted)}") from None
    except (OSError, ValueError) as error:
        raise LessonFileError(f"{path} is damaged: {error}. {_expected(wanted)}") from error
    check_keys(content, wanted, str(path))
    return content


def check_keys(content: object, wanted: Mapping[str, type], place: str) -> None:
    """Check that a table has the wanted keys and no other; else a LessonFileError begins with `place`."""
    if not isinstance(content, dict):
        raise LessonFileError(f"{place} is damaged: it is not a table. {_expected(wanted)}")
    for key, kind in wanted.items():
        if key not in content:
            raise LessonFileError(f"{place} is damaged: `{key}` is missing. {_expected(wanted)}")
        if not isinstance(content[key], kind):
            raise LessonFileError(f"{place} is damaged: `{key}` is {content[key]!r}. {_expected(wanted)}")
    if unknown := sorted(set(content) - set(wanted)):
        raise LessonFileError(f"{place} is damaged: it has the unknown key `{unknown[0]}`. {_expected(wanted)}")


_KINDS = {str: "text", int: "a whole number", list: "a list", dict: "a table"}


def _expected(wanted: Mapping[str, type]) -> str:
    keys = ", ".join(f"`{key}` ({_KINDS[kind]})" for key, kind in wanted.items())
    return f"Expected: {keys}. Correct it, or restore it: `git checkout` in a clone, else install the course again."


def _read_lesson(folder: Path) -> Lesson:
    path = folder / "lesson.toml"
    wanted = {"number": str, "notebook": str, "title": str, "minutes": int, "words": dict, "steps": dict}
    content = read_toml(path, wanted)
    number = content["number"]
    words = []
    for word, facts in content.pop("words").items():
        facts = {"symbol": "", "shape": ""} | facts if isinstance(facts, dict) else facts
        check_keys(facts, {"meaning": str, "symbol": str, "shape": str}, f"The word {word!r} in {path}")
        words.append(Term(word, facts["meaning"], facts["symbol"], facts["shape"], number))
    return Lesson(**content, words=tuple(words), folder=folder)


_FOLDERS = (path for path in HERE.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
LESSONS = tuple(sorted(map(_read_lesson, _FOLDERS), key=lambda each: [int(part) for part in each.number.split(".")]))
"""Every lesson, in reading order."""


def lesson(number: str) -> Lesson:
    """The lesson with this number, such as "4.1.1".

    Raises:
        ValueError: if there is none; the message lists the numbers.
    """
    for each in LESSONS:
        if each.number == number:
            return each
    raise ValueError(f"There is no lesson {number!r}; the lessons are {', '.join(each.number for each in LESSONS)}.")


def with_steps(number: str, widget: Shown, name: str | None = None) -> Shown:
    """Offer a lesson's steps as buttons of a widget.

    Args:
        number: the lesson's number, such as "4.1.1".
        widget: gets the steps as its trait `steps`.
        name: under which the lesson keeps them; by default the widget's folder, such as "query_map".

    Returns:
        The widget.

    Raises:
        ValueError: if there is no such lesson, or it has no steps of that name; the message lists the names.
        TraitError: if a step sets what the widget does not have.
    """
    name, offered = name or widget._module, lesson(number).steps
    if name not in offered:
        raise ValueError(
            f"Lesson {number} has no steps {name!r}; it has steps for: {', '.join(offered) or 'no widget'}."
        )
    widget.steps = offered[name]
    return widget


def glossary(number: str | None = None) -> Glossary:
    """The words of one lesson, or of the whole course, in alphabetical order.

    Args:
        number: the lesson's number, such as "4.1.1".

    Raises:
        ValueError: if there is no such lesson; the message lists the numbers.
    """
    chosen = LESSONS if number is None else (lesson(number),)
    terms = [term for each in chosen for term in each.words]
    return Glossary(tuple(sorted(terms, key=lambda term: re.sub(r"\W", " ", term.word.lower()))))
