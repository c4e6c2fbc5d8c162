"""The diagrams of the course, drawn by code.

    show("se_block")              # in a notebook: the shipped picture with its alt text and caption
    draw("se_block", "dark")      # a matplotlib Figure
    python -m course_utils.figures            # draw all of them into resource/figures
    python -m course_utils.figures --check    # are they what the code draws?

Nothing heavy is imported before something is drawn.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

from course_utils.resources import resource

from . import channel, dot_product, experiment, gates, overview  # noqa: F401  each enters its diagrams
from .files import path_of
from .registry import DIAGRAMS, find

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["alt", "caption", "draw", "names", "show", "show_plot"]


def names() -> list[str]:
    """The names of all diagrams, in the order of the lessons."""
    return list(DIAGRAMS)


def alt(name: str) -> str:
    """What the diagram shows, in words, for who cannot see it."""
    return find(name).alt


def caption(name: str) -> str:
    """What to notice in the diagram."""
    return find(name).caption


def draw(name: str, theme: str = "light") -> Figure:
    """Draw a diagram afresh.

    Args:
        name: one of `names()`.
        theme: "light" or "dark".

    Returns:
        A matplotlib Figure of its own; pyplot knows nothing of it, and the reader's settings stay as they are.

    Raises:
        KeyError: for an unknown name; the message suggests the nearest.
        ValueError: for an unknown theme.

    Example:
        >>> draw("se_block", theme="dark").savefig("se_block.pdf")
    """
    return find(name).sketch(theme).figure


def show(name: str) -> None:
    """Show the shipped picture of a diagram under a notebook's cell, with its alt text and its caption.

    The picture is stored in the notebook, so that JupyterLab, Colab and GitHub show it without a kernel. It is the
    light one everywhere, on its own background: a page's theme cannot be known from inside a stored output, since
    JupyterLab and Colab do not follow the system's setting, and style sheets are removed from stored HTML.

    Raises:
        KeyError: for an unknown name; the message suggests the nearest.
        course_utils.resources.ResourceError: if the file is missing or not the one that was shipped.
    """
    from IPython.display import display

    display(bundle(name), raw=True)


def show_plot(figure: Figure, alt: str) -> None:
    """Show a plot that a cell has drawn as the diagrams are shown: a picture with words for who cannot see it.

    Args:
        figure: a matplotlib Figure; pyplot forgets it, so that it is not shown twice.
        alt: what the plot shows, in words.

    Raises:
        ValueError: if the words are empty.
    """
    from IPython.display import display
    from matplotlib import pyplot

    if not alt.strip():
        raise ValueError("show_plot needs words that say what the plot shows, but was given none.")
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, facecolor="white")
    pyplot.close(figure)
    picture = base64.b64encode(drawn.getvalue()).decode()
    tag = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}" style="max-width: 100%; height: auto">'
    display({"text/html": tag, "image/png": picture, "text/plain": alt}, raw=True)


def bundle(name: str) -> dict[str, str]:
    """The output that `show` stores, by media type: HTML with alt text and caption, the picture, plain words."""
    diagram = find(name)
    picture = base64.b64encode(resource(path_of(name)).read_bytes()).decode()
    return {
        "text/html": (
            f'<img alt="{html.escape(diagram.alt)}" src="data:image/png;base64,{picture}" '
            f'width="{diagram.width}" style="max-width: 100%; height: auto">'
            f"<p><em>{html.escape(diagram.caption)}</em></p>"
        ),
        "image/png": picture,
        "text/plain": f"{diagram.alt}\n{diagram.caption}",
    }
