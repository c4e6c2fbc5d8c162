"""Which diagrams there are: each drawing function is entered here with its size, its alt text and its caption."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from .style import THEMES, Sketch

Draw = Callable[[Sketch], None]


@dataclass(frozen=True)
class Diagram:
    """One diagram: what it shows in words (`alt`), what to notice in it (`caption`), its size and how it is drawn.

    `source` names a picture of others that it holds, and `licence` what follows from that.
    """

    name: str
    width: int
    height: int
    alt: str
    caption: str
    draw: Draw
    source: str
    licence: str

    def sketch(self, theme: str = "light") -> Sketch:
        """Draw it, whatever the reader's own matplotlib settings are; they are left as they were.

        Raises:
            ValueError: if the theme is neither "light" nor "dark".
        """
        if theme not in THEMES:
            raise ValueError(f"theme={theme!r} is not one of {', '.join(map(repr, THEMES))}; choose one of these.")
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            sketch = Sketch(self.width, self.height, theme)
            self.draw(sketch)
        return sketch


DIAGRAMS: dict[str, Diagram] = {}


def diagram(
    width: int, height: int, alt: str, caption: str, source: str = "", licence: str = "as LICENSE-CONTENT says"
) -> Callable[[Draw], Draw]:
    """Enter a drawing function under its own name."""

    def enter(draw: Draw) -> Draw:
        name = draw.__name__
        DIAGRAMS[name] = Diagram(name, width, height, alt, caption, draw, source, licence)
        return draw

    return enter


def find(name: str) -> Diagram:
    """The diagram of that name.

    Raises:
        KeyError: if there is none; the message suggests the nearest name.
    """
    if name in DIAGRAMS:
        return DIAGRAMS[name]
    near = difflib.get_close_matches(name, DIAGRAMS, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(DIAGRAMS)}."
    raise KeyError(f"There is no figure {name!r}; {advice}")
