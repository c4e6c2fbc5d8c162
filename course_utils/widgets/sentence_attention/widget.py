"""`sentence-attention`: the words of a sentence attend to each other, by a table of features that one can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget

PROJECTIONS = ("looks for", "itself")


@dataclass(frozen=True, eq=False)
class Sentence:
    """Words, what each of them is, and what it looks for.

    Args:
        title: its name in the list of sentences.
        words: n words.
        features: the names of d features.
        table: n rows of d numbers: how much of each feature a word has. They are keys and values.
        looks_for: d rows of d numbers, W_Q: a word with the feature of a row looks for the features of the columns.
        word: the place of the word that is shown first.

    Raises:
        ValueError: if the shapes do not fit, or a number is not finite.
    """

    title: str
    words: Sequence[str]
    features: Sequence[str]
    table: Sequence[Sequence[float]]
    looks_for: Sequence[Sequence[float]]
    word: int = 0

    def __post_init__(self) -> None:
        n, d = len(self.words), len(self.features)
        for name, needed in (("table", (n, d)), ("looks_for", (d, d))):
            given = np.array(getattr(self, name), dtype=np.float64)
            if given.shape != needed or not np.isfinite(given).all():
                raise ValueError(
                    f"{name} of {self.title!r} has shape {given.shape}; {n} words with {d} features need finite "
                    f"numbers of shape {needed}."
                )
        if not 0 <= self.word < n:
            raise ValueError(f"word={self.word}, but {self.title!r} has {n} words; give a number from 0 to {n - 1}.")


_WORLD = ("being", "action", "place", "colour", "refers")
_SENSE = ("being", "action", "water", "money")
_WORDS = {
    "they": (2, 0, 0, 0),
    "them": (2, 0, 0, 0),
    "fish": (0, 2, 1, 0),
    "lends": (0, 2, 0, 1),
    "river": (0, 0, 2, 0),
    "money": (0, 0, 0, 2),
    "bank": (0, 0, 1, 1),
}
_SENSES = ((0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2))


def _senses(title: str, text: str) -> Sentence:
    words = text.split()
    table = [_WORDS.get(word, (0, 0, 0, 0)) for word in words]
    return Sentence(title, words, _SENSE, table, _SENSES, words.index("bank"))


SENTENCES = (
    Sentence(
        title="what does “it” stand for?",
        words=["the", "brown", "dog", "stands", "in", "green", "grass", "and", "it", "pants"],
        features=_WORLD,
        table=(
            (0, 0, 0, 0, 0),
            (0, 0, 0, 2, 0),
            (2, 0, 0, 0, 0),
            (0, 2, 0, 0, 0),
            (0, 0, 0, 0, 0),
            (0, 0, 0, 2, 0),
            (0, 0, 2, 0, 0),
            (0, 0, 0, 0, 0),
            (0, 0, 0, 0, 2),
            (0, 2, 0, 0, 0),
        ),
        looks_for=(
            (0, 2, 0, 1, 0),  # a being: what does it do, what colour has it?
            (2, 0, 1, 0, 0),  # an action: who does it, where?
            (0, 1, 0, 1, 0),  # a place: what happens there, what colour has it?
            (2, 0, 2, 0, 0),  # a colour: what has it?
            (2, 0, 0, 0, 0),  # a word that refers: to whom?
        ),
        word=8,
    ),
    _senses("which bank? by the river", "they fish from the river bank"),
    _senses("which bank? with the money", "the bank lends them money"),
)
"""The course's sentences. The numbers were written by hand, so that one can read them; nothing was trained."""


class SentenceAttention(CourseWidget):
    """Point at a word: its query meets the keys of all words; scores, weights and context stand in one table.

    The page computes softmax(q k^T / sqrt(d) * sharpness) v, with k = v = the table of features and q = the table
    times W_Q, or q = the table itself. Every number of the table and of W_Q can be edited.

    Args:
        sentences: what the learner may choose from; the course's own by default.
        traits: the settings below, and the other traits of a `CourseWidget`.

    Attributes:
        sentence: index of the sentence shown.
        table: its features as they are now, n rows of d numbers.
        looks_for: W_Q as it is now, d rows of d numbers.
        projection: where queries come from: "looks for" multiplies by W_Q, "itself" takes the features.
        sharpness: multiplies the scores; 1 is scaled dot-product attention, 0 shares out evenly.
        word: place of the word that is pinned or shown at first, counted from 0; [] while none is.

    Raises:
        ValueError: if there is no sentence, or no such one.
    """

    _module = "sentence_attention"

    label = traitlets.Unicode("Attention between the words of a sentence, with every number it is made of")
    sentences = traitlets.List(traitlets.Dict())
    sentence = traitlets.Int(0)
    table = traitlets.List(traitlets.List(traitlets.Float()))
    looks_for = traitlets.List(traitlets.List(traitlets.Float()))
    projection = traitlets.Enum(PROJECTIONS, "looks for")
    sharpness = traitlets.Float(1, min=0, max=8)
    word = traitlets.List(traitlets.Int(min=0), maxlen=1)

    def __init__(self, sentences: Sequence[Sentence] = SENTENCES, *, sentence: int = 0, **traits: Any) -> None:
        if not 0 <= sentence < len(sentences):
            raise ValueError(
                f"sentence={sentence}, but {len(sentences)} sentences were given; count from 0, and give at least one."
            )
        tables = ("table", "looks_for")
        every = [vars(one) | {name: np.array(vars(one)[name], float).tolist() for name in tables} for one in sentences]
        first = {name: every[sentence][name] for name in tables}
        super().__init__(**{"sentences": every, "sentence": sentence, **first, **traits})

    @traitlets.observe("sentence")
    def _take_numbers(self, change: dict[str, Any]) -> None:
        """Where the numbers are of another sentence, take those of this one."""
        one = self.sentences[change["new"]]
        if any(np.shape(getattr(self, name)) != np.shape(one[name]) for name in ("table", "looks_for")):
            self.table, self.looks_for = one["table"], one["looks_for"]
