"""Which drawing functions there are, each under the name of its diagram."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib

from course_utils.figures import diagram as described

from .style import THEMES, Sketch

Draw = Callable[[Sketch], None]
DRAWN: dict[str, Draw] = {}


def diagram(draw: Draw) -> Draw:
    """Enter a drawing function under its own name."""
    DRAWN[draw.__name__] = draw
    return draw


def sketch(name: str, theme: str = "light") -> Sketch:
    """Draw a diagram with matplotlib's own defaults; the user's settings are neither used nor changed.

    Args:
        name: as in course_utils/figures.toml.
        theme: "light" or "dark".

    Raises:
        KeyError: for an unknown name; the message suggests the nearest.
        ValueError: if the theme is neither "light" nor "dark".
    """
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r} is not one of {', '.join(map(repr, THEMES))}; choose one of these.")
    width, height = described(name).size
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        made = Sketch(width, height, theme)
        DRAWN[name](made)
    return made
