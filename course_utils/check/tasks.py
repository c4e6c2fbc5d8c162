"""What a lesson writes about an exercise: code in exercises.py, words in exercises.toml, joined here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .compare import difference
from .engine import Draw, Exercise, Inputs, Mistake

WORDS = {"minutes": int, "difficulty": int, "axes": list, "parts": list, "hints": list, "takeaway": str}
"""What exercises.toml says about an exercise, beside the messages of its mistakes; axes and parts may be left out."""


class Shown(NamedTuple):
    """A wrong answer with the way to recognise it: `shows(given, *inputs)`, as in `Mistake`."""

    wrong: Callable[..., Any]
    shows: Callable[..., bool]


def any_of(*wrongs: Callable[..., Any]) -> Shown:
    """A mistake that can be made in several ways: a result shows it if it equals one of them in each round."""
    return Shown(wrongs[0], lambda given, *inputs: any(difference(given, each(*inputs)) is None for each in wrongs))


@dataclass(frozen=True)
class Task:
    """The code of an exercise.

    Attributes:
        official: the solution; its name is the exercise's.
        draw: makes the inputs of one round; a tuple.
        mistakes: typical wrong answers by name; exercises.toml has a message under the same name.
        mixtures: mistakes whose messages are made of parts; they are tried before the others.
        refusal: as in `Exercise`.
    """

    official: Callable[..., Any]
    draw: Callable[[Draw], Inputs]
    mistakes: Mapping[str, Callable[..., Any] | Shown] = field(default_factory=dict)
    mixtures: tuple[Mistake, ...] = ()
    refusal: Callable[..., str | None] | None = None

    def exercise(self, lesson: str, words: Mapping[str, Any]) -> Exercise:
        """The exercise of this code and these words, a table of exercises.toml with the keys of `WORDS`."""
        messages = words["mistakes"]
        mistakes = [
            Mistake(messages[name], *wrong) if isinstance(wrong, Shown) else Mistake(messages[name], wrong)
            for name, wrong in self.mistakes.items()
        ]
        return Exercise(
            lesson=lesson,
            official=self.official,
            draw=self.draw,
            mistakes=(*self.mixtures, *mistakes),
            hints=tuple(words["hints"]),
            minutes=words["minutes"],
            difficulty=words["difficulty"],
            takeaway=words["takeaway"],
            axes=tuple(words["axes"]),
            parts=tuple(words["parts"]),
            refusal=self.refusal,
        )
