"""The words of the course, as a notebook or a terminal shows them."""

import html
from typing import NamedTuple


class Term(NamedTuple):
    """A word, its meaning in one or two plain sentences, its symbol and shape ("" where it has none), its lesson."""

    word: str
    meaning: str
    symbol: str
    shape: str
    lesson: str


_HEADS = ("Word", "Meaning", "Symbol", "Shape", "Lesson")


class Glossary:
    """A table of words."""

    def __init__(self, terms: tuple[Term, ...]):
        self.terms = terms

    def __repr__(self) -> str:
        return "\n".join(f"{term.word}: {term.meaning}{_more(term)}" for term in self.terms)

    def _repr_html_(self) -> str:
        cell = "style=text-align:left"  # a notebook aligns cells to the right
        heads = "".join(f'<th scope="col" {cell}>{head}</th>' for head in _HEADS)
        rows = "".join(
            "<tr>"
            + f'<th scope="row" {cell}>{html.escape(term.word)}</th>'
            + "".join(f"<td {cell}>{html.escape(part)}</td>" for part in term[1:])
            + "</tr>"
            for term in self.terms
        )
        return (
            '<div class="course-glossary"><table style="border-collapse: collapse; margin: 0">'
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )


def _more(term: Term) -> str:
    parts = [part for part in (term.symbol and f"symbol {term.symbol}", term.shape and f"shape {term.shape}") if part]
    return f" ({'; '.join([*parts, f'lesson {term.lesson}'])})"
