"""Questions with one right option, each option with its own explanation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from ..base import CourseWidget


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        text: the question; words between backticks are set as code.
        options: from each option to its explanation, in the order shown. The explanation says why it is right, or
            what one was thinking who chose it.
        right: the right option, word for word.

    Raises:
        ValueError: if there are fewer than two options, an explanation is empty, or `right` is not an option.
    """

    text: str
    options: Mapping[str, str]
    right: str

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(f"The question {self.text!r} needs at least two options.")
        silent = [option for option, explanation in self.options.items() if not explanation.strip()]
        if silent:
            raise ValueError(f"In {self.text!r} the option {silent[0]!r} has no explanation; every option needs one.")
        if self.right not in self.options:
            raise ValueError(
                f"In {self.text!r} the right option {self.right!r} is not among the options {list(self.options)}."
            )


class Quiz(CourseWidget):
    """Questions to answer in the page; it needs no kernel to say what is right and why.

    Args:
        questions: one or more `Question`.
        key: the name under which progress is remembered, such as "4.1.1/end"; the widget itself only carries it.
        predict: ask for a prediction: the first choice is kept, and what is right shows after it. Otherwise a wrong
            choice is explained and another may be tried.

    Attributes:
        answered: for each question the index of the option last checked, or None. Observe it to remember progress.
    """

    _module = "quiz"

    questions = traitlets.List(traitlets.Dict())
    key = traitlets.Unicode("")
    predict = traitlets.Bool(False)
    answered = traitlets.List(traitlets.Int(allow_none=True))

    def __init__(self, questions: Sequence[Question], key: str = "", *, predict: bool = False, **traits: Any) -> None:
        if not questions:
            raise ValueError("A quiz needs at least one question.")
        traits.setdefault("label", "Predict first" if predict else "Quiz")
        traits.setdefault("answered", [None] * len(questions))
        plain = [
            {
                "text": question.text,
                "options": list(question.options),
                "explanations": list(question.options.values()),
                "right": list(question.options).index(question.right),
            }
            for question in questions
        ]
        super().__init__(questions=plain, key=key, predict=predict, **traits)

    @property
    def score(self) -> int:
        """How many questions are answered right."""
        return sum(index == question["right"] for question, index in zip(self.questions, self.answered, strict=True))
