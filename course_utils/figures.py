"""The diagrams of the course as a lesson shows them, each with its words; `artwork` beside the package draws them."""

from __future__ import annotations

import base64
import functools
import html
import io
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .names import suggestion
from .resources import resource

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Diagram:
    """What is known of one diagram besides its drawing."""

    name: str  # also that of the function in `artwork` that draws it
    size: tuple[int, int]  # width and height in CSS pixels
    alt: str  # what the diagram shows, in words
    caption: str  # what to notice in it
    source: str = ""  # the picture by somebody else that it contains, if any
    licence: str = "as LICENSE-CONTENT says"  # what follows from that

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
    raise KeyError(f"There is no figure {name!r}; {suggestion(diagrams(), name)}")


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
    stored = _stored(resource(shown.file).read_bytes(), shown.alt, f'width="{shown.size[0]}" ')
    stored["text/html"] += f"<p><em>{html.escape(shown.caption)}</em></p>"
    return {**stored, "text/plain": f"{shown.alt}\n{shown.caption}"}


def _stored(picture: bytes, alt: str, width: str = "") -> dict[str, str]:
    data = base64.b64encode(picture).decode()
    style = 'style="max-width: 100%; height: auto">'
    tag = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}" {width}{style}'
    return {"text/html": tag, "image/png": data, "text/plain": alt}


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
    display(_stored(drawn.getvalue(), alt), raw=True)
