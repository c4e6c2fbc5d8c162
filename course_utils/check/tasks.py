"""What a lesson writes about an exercise: code in exercises.py, words in exercises.toml, joined here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .changes import Changes, changed, port_mistakes
from .compare import difference
from .engine import Difference, Draw, Exercise, Inputs, Mistake

WORDS = {"minutes": int, "difficulty": int, "axes": list, "parts": list, "hints": list, "takeaway": str}
"""What exercises.toml says about an exercise, beside the messages of its mistakes; axes and parts may be left out."""

Way = Callable[..., Any] | Changes


@dataclass(frozen=True)
class Shown:
    """A wrong answer with the way to recognise it: `shows(given, *inputs)`, as in `Mistake`."""

    wrong: Way
    shows: Callable[..., bool]


@dataclass(frozen=True)
class Task:
    """The code of an exercise.

    Attributes:
        official: the solution; its name is the exercise's.
        draw: makes the inputs of one round; a tuple.
        mistakes: typical wrong answers by name, each a function, or the changes that make it of the solution, or a
            tuple of such ways, any of which shows the mistake; exercises.toml has a message under the same name.
        faults: of a port, as in `port_mistakes`; they are tried before the other mistakes.
        compare: as in `Exercise`.
        refusal: as in `Exercise`.
    """

    official: Callable[..., Any]
    draw: Callable[[Draw], Inputs]
    mistakes: Mapping[str, Way | tuple[Way, ...] | Shown] = field(default_factory=dict)
    faults: Sequence[Mapping[str, Changes]] = ()
    compare: Difference = difference
    refusal: Callable[..., str | None] | None = None

    def exercise(self, lesson: str, words: Mapping[str, Any]) -> Exercise:
        """The exercise of this code and these words, a table of exercises.toml with the keys of `WORDS`."""
        mixtures = port_mistakes(self.official, self.faults, words["faults"])
        mistakes = [self._mistake(words["mistakes"][name], wrong) for name, wrong in self.mistakes.items()]
        return Exercise(
            lesson=lesson,
            official=self.official,
            draw=self.draw,
            mistakes=(*mixtures, *mistakes),
            hints=tuple(words["hints"]),
            minutes=words["minutes"],
            difficulty=words["difficulty"],
            takeaway=words["takeaway"],
            axes=tuple(words["axes"]),
            parts=tuple(words["parts"]),
            compare=self.compare,
            refusal=self.refusal,
        )

    def _mistake(self, message: str, wrong: Way | tuple[Way, ...] | Shown) -> Mistake:
        if isinstance(wrong, Shown):
            return Mistake(message, self._function(wrong.wrong), wrong.shows)
        if not isinstance(wrong, tuple):
            return Mistake(message, self._function(wrong))
        ways = [self._function(way) for way in wrong]
        return Mistake(
            message, ways[0], lambda given, *inputs: any(not difference(given, way(*inputs)) for way in ways)
        )

    def _function(self, way: Way) -> Callable[..., Any]:
        return way if callable(way) else changed(self.official, way)
