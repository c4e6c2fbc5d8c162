"""What a check says, as words for a terminal and as a small card for a notebook.

Colours are only accents: the words keep the page's own colour, so that a card reads well in light and dark.
"""

import html
import re
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["right", "not yet", "not attempted", "hint", "solution", "note"]

# Each accent has a contrast of at least 3 on white and on near-black.
_LOOKS: dict[Kind, tuple[str, str]] = {
    "right": ("✓", "#1f9254"),
    "not yet": ("✗", "#d1541b"),
    "not attempted": ("○", "#6b7f95"),
    "hint": ("?", "#8a63d2"),
    "solution": ("≡", "#3b7dc4"),
    "note": ("i", "#6b7f95"),
}


@dataclass(frozen=True, repr=False)
class Card:
    """A headline, lines of plain words and sometimes code. `words` in backquotes are shown as code."""

    kind: Kind
    headline: str
    lines: tuple[str, ...] = ()
    code: str = ""

    def __repr__(self) -> str:
        headline = f"{_LOOKS[self.kind][0]} {self.headline}"
        if self.lines:
            headline = f"{headline} {self.lines[0]}"
        return "\n".join([headline, *self.lines[1:], *([self.code] if self.code else [])])

    def _repr_html_(self) -> str:
        icon, accent = _LOOKS[self.kind]
        first, *rest = self.lines or ("",)
        paragraphs = [
            f'<span aria-hidden="true" style="color: {accent}; font-weight: bold">{icon}</span> '
            f"<strong>{inline(self.headline)}</strong> {inline(first)}",
            *map(inline, rest),
        ]
        body = "".join(f'<p style="margin: 0.15em 0; max-width: 50em">{paragraph}</p>' for paragraph in paragraphs)
        if self.code:
            body += f'<pre style="margin: 0.4em 0; white-space: pre-wrap">{html.escape(self.code)}</pre>'
        return (
            f'<div class="course-check" data-kind="{self.kind}" style="border-left: 4px solid {accent}; '
            f'margin: 0.3em 0; padding: 0.2em 0.9em; line-height: 1.5">{body}</div>'
        )

    def adding(self, *lines: str) -> "Card":
        """The same card with more lines at its end; empty ones are left out."""
        return replace(self, lines=(*self.lines, *filter(None, lines)))


def inline(text: str) -> str:
    """Plain words as HTML: everything escaped, `words` in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)).replace("\n", "<br>")
