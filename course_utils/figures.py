"""The diagrams of the course as a lesson shows them, each with its words; `artwork` beside the package draws them."""

from __future__ import annotations

import base64
import difflib
import functools
import html
import io
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .resources import resource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Diagram", "diagram", "diagrams", "show", "show_plot"]


@dataclass(frozen=True)
class Diagram:
    """What is known of one diagram besides its drawing.

    Attributes:
        name: also the name of the function in `artwork` that draws it.
        size: width and height in CSS pixels.
        alt: what the diagram shows, in words.
        caption: what to notice in it.
        source: the picture by somebody else that it contains, if any.
        licence: what follows from that.
    """

    name: str
    size: tuple[int, int]
    alt: str
    caption: str
    source: str = ""
    licence: str = "as LICENSE-CONTENT says"

    @property
    def file(self) -> str:
        """The path of the shipped picture below resource/."""
        return f"figures/{self.name}.png"


@functools.cache
def diagrams() -> dict[str, Diagram]:
    """Every diagram by its name."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: Diagram(name, tuple(entry.pop("size")), **entry) for name, entry in tomllib.loads(text).items()}


def diagram(name: str) -> Diagram:
    """The diagram of that name.

    Raises:
        KeyError: if there is none; the message suggests the nearest name.
    """
    if name in diagrams():
        return diagrams()[name]
    near = difflib.get_close_matches(name, diagrams(), n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(diagrams())}."
    raise KeyError(f"There is no figure {name!r}; {advice}")


def show(name: str) -> None:
    """Show a diagram under a notebook's cell, with its alt text and its caption.

    The picture is stored in the notebook, so that JupyterLab, Colab and GitHub show it without a kernel. It is light
    in every theme and has its own background: a stored output cannot know the theme of its page, since JupyterLab and
    Colab do not follow the system's setting, and style sheets are removed from stored HTML.

    Raises:
        KeyError: for an unknown name; the message suggests the nearest.
        course_utils.resources.ResourceError: if the file is missing or not the one that was shipped.
    """
    from IPython.display import display

    display(bundle(name), raw=True)


def bundle(name: str) -> dict[str, str]:
    """The output that `show` stores, by media type: HTML with alt text and caption, the picture, plain words."""
    shown = diagram(name)
    picture = base64.b64encode(resource(shown.file).read_bytes()).decode()
    return {
        "text/html": (
            f'<img alt="{html.escape(shown.alt)}" src="data:image/png;base64,{picture}" '
            f'width="{shown.size[0]}" style="max-width: 100%; height: auto">'
            f"<p><em>{html.escape(shown.caption)}</em></p>"
        ),
        "image/png": picture,
        "text/plain": f"{shown.alt}\n{shown.caption}",
    }


def show_plot(figure: Figure, alt: str) -> None:
    """Show a plot that a cell has drawn in the same way as the diagrams: a picture with its words.

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
