"""The map of the lessons with a learner's own progress."""

import html
from typing import NamedTuple

from .card import inline
from .memory import State

_MARKS: dict[State | None, tuple[str, str]] = {
    "done": ("●", "done"),
    "tried": ("◐", "not right yet"),
    None: ("○", "open"),
}
_LEGEND = ", ".join(" ".join(mark) for mark in _MARKS.values()) + "."
_CELL = "padding: 0.15em 1.2em 0.15em 0; text-align: left; vertical-align: top; background: none"


class Row(NamedTuple):
    """A lesson with the state of each of its exercises and of its quiz, by name."""

    number: str
    title: str
    parts: tuple[tuple[str, State | None], ...]

    @property
    def done(self) -> int:
        """How many parts are done."""
        return sum(state == "done" for _, state in self.parts)

    @property
    def summary(self) -> str:
        """The row's progress in words."""
        return f"{self.done} of {len(self.parts)}" if self.parts else "–"


class ProgressMap:
    """What `check.progress()` shows: one line per lesson, each exercise and the quiz with a mark."""

    def __init__(self, rows: tuple[Row, ...], note: str = ""):
        self.rows = rows
        self.note = note

    @property
    def headline(self) -> str:
        """The sum over all lessons, in words."""
        done, parts = sum(row.done for row in self.rows), sum(len(row.parts) for row in self.rows)
        return f"{done} of {parts} exercises and quizzes done"

    def __repr__(self) -> str:
        width = max(len(row.title) for row in self.rows)
        lines = [
            f"{row.number:<6} {row.title:<{width}}  {row.summary:<8}  "
            + "  ".join(f"{_MARKS[state][0]} {name}" for name, state in row.parts)
            for row in self.rows
        ]
        return "\n".join([self.headline, *(line.rstrip() for line in lines), _LEGEND, *filter(None, [self.note])])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr style="background: none"><td style="{_CELL}">{html.escape(row.number)}</td>'
            f'<td style="{_CELL}; min-width: 20em">{html.escape(row.title)}</td>'
            f'<td style="{_CELL}; white-space: nowrap">{html.escape(row.summary)}</td>'
            f'<td style="{_CELL}">{"".join(map(_part, row.parts))}</td></tr>'
            for row in self.rows
        )
        heads = "".join(
            f'<th scope="col" style="{_CELL}">{head}</th>' for head in ("No.", "Lesson", "Done", "Exercises and quiz")
        )
        return (
            f'<div class="course-progress"><p style="margin: 0.3em 0"><strong>{html.escape(self.headline)}</strong></p>'
            f'<table style="border-collapse: collapse; margin: 0"><thead><tr style="background: none">{heads}</tr>'
            f"</thead><tbody>{rows}</tbody></table>"
            f'<p style="margin: 0.3em 0">{_LEGEND}<br>{inline(self.note)}</p></div>'
        )


def _part(part: tuple[str, State | None]) -> str:
    name, state = part
    icon, word = _MARKS[state]
    return (
        f'<span style="display: inline-block; margin-right: 0.9em" title="{word}">'
        f'<span role="img" aria-label="{word}">{icon}</span> {html.escape(name)}</span>'
    )
