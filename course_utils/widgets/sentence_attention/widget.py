"""`sentence-attention`: the words of a sentence attend to each other, by a table of features that one can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget
from ..limits import check_index

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
        check_index("word", self.word, n)


# What a word with each feature looks for: how much of every feature, in the same order.
_WORLD = {
    "being": (0, 2, 0, 1, 0),  # what does it do, what colour has it?
    "action": (2, 0, 1, 0, 0),  # who does it, where?
    "place": (0, 1, 0, 1, 0),  # what happens there, what colour has it?
    "colour": (2, 0, 2, 0, 0),  # what has it?
    "refers": (2, 0, 0, 0, 0),  # to whom?
}
_SENSE = {"being": (0, 1, 0, 0), "action": (1, 0, 0, 0), "water": (0, 0, 2, 0), "money": (0, 0, 0, 2)}
_WORDS = {
    "brown": {"colour": 2},
    "green": {"colour": 2},
    "dog": {"being": 2},
    "grass": {"place": 2},
    "stands": {"action": 2},
    "pants": {"action": 2},
    "it": {"refers": 2},
    "they": {"being": 2},
    "them": {"being": 2},
    "fish": {"action": 2, "water": 1},
    "lends": {"action": 2, "money": 1},
    "river": {"water": 2},
    "money": {"money": 2},
    "bank": {"water": 1, "money": 1},
}


def _sentence(title: str, text: str, word: str, looks_for: Mapping[str, Sequence[int]]) -> Sentence:
    words = text.split()
    table = [[_WORDS.get(each, {}).get(feature, 0) for feature in looks_for] for each in words]
    return Sentence(title, words, list(looks_for), table, list(looks_for.values()), words.index(word))


SENTENCES = (
    _sentence("what does “it” stand for?", "the brown dog stands in green grass and it pants", "it", _WORLD),
    _sentence("which bank? by the river", "they fish from the river bank", "bank", _SENSE),
    _sentence("which bank? with the money", "the bank lends them money", "bank", _SENSE),
)
"""The course's sentences. The numbers were written by hand, so that one can read them; nothing was trained."""


class SentenceAttention(CourseWidget):
    """Point at a word: its query meets the keys of all words; scores, weights and context stand in one table.

    The page computes softmax(q k^T / sqrt(d) * sharpness) v, with k = v = the table of features and q = the table
    times W_Q, or q = the table itself. Every number of the table and of W_Q can be edited.

    Args:
        sentences: what the learner may choose from; the course's own by default.
        traits: the settings below, and the other traits of a `CourseWidget`.

    Raises:
        ValueError: if there is no sentence, or no such one.
    """

    _module = "sentence_attention"

    label = traitlets.Unicode("Attention between the words of a sentence, with every number it is made of")
    sentences = traitlets.List(traitlets.Dict())
    sentence = traitlets.Int(0)  # index of the sentence shown
    table = traitlets.List(traitlets.List(traitlets.Float()))  # its features as they are now, n rows of d numbers
    looks_for = traitlets.List(traitlets.List(traitlets.Float()))  # W_Q as it is now, d rows of d numbers
    projection = traitlets.Enum(PROJECTIONS, "looks for")  # queries: the features times W_Q, or the features themselves
    sharpness = traitlets.Float(1, min=0, max=8)  # multiplies the scores; 1 is scaled dot-product attention
    word = traitlets.List(traitlets.Int(min=0), maxlen=1)  # place of the word pinned, or shown at first; [] for none

    def __init__(self, sentences: Sequence[Sentence] = SENTENCES, *, sentence: int = 0, **traits: Any) -> None:
        check_index("sentence", sentence, len(sentences))
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
