"""The lesson's widget on a network that reads: the text reader joined to `Reader`."""

from collections.abc import Sequence

from ...data import draw_text
from ...models import load_network
from ...models.page_graph import page_graph
from .widget import LONGEST, Reader


def explore_reader(
    words: str = "so we saw zoos",
    typeface: str = "sans",
    *,
    query: int | None = None,
    chosen: Sequence[int] = (),
    off: Sequence[Sequence[int]] = (),
) -> Reader:
    """Type a line of text or upload one, see what each head of the text reader looks at, and switch heads off.

    The network runs in the page.

    Args:
        words: the line shown first, printable ASCII.
        typeface: one of `course_utils.data.text_lines.TYPEFACES`.
        query: the column pointed at first, counted from 0; each is 8 pixels wide.
        chosen: (block, head), counted from 1, whose arcs are shown; empty for the mean of all heads.
        off: (block, head) of every head to knock out.

    Raises:
        ValueError: if the words are none that the reader knows or too long, or there is no such typeface, column or
            head.

    Example:
        >>> explore_reader("attention", off=[(2, 1)])
    """
    picture = draw_text(words, typeface)
    if picture.shape[2] > LONGEST:
        raise ValueError(f"{words!r} is {picture.shape[2]} pixels long; give a line of at most {LONGEST} pixels.")
    return Reader(
        (255 * picture).round().byte().permute(1, 2, 0),
        **page_graph(load_network("text_reader")),
        words=words.strip(),
        typeface=typeface,
        query=() if query is None else (query,),
        chosen=chosen,
        off=off,
    )
