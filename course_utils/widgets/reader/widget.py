"""`reader`: a line of text, what every head of a network that reads it looks at, and the reading without some heads."""

import base64
from typing import Any

import numpy as np
import traitlets

from ...data.text_lines import HEIGHT, TYPEFACES
from ..base import CourseWidget, cell
from ..limits import check_place, checked_head

BLOCKS, HEADS = 2, 8
LONGEST = 960
"""Pixels of a line: what the page reads in about a second."""


class Reader(CourseWidget):
    """A line of text as the network reads it, in the page. Blocks and heads count from 1, columns from 0.

    Args:
        picture: (48, W, 3), uint8, W a multiple of 8: the line shown first.
        graph, weights: of a `TextReader`, as `page_graph` gives them.
    """

    _module = "reader"

    label = traitlets.Unicode("Reader: a line of text, and what each head of the network that reads it looks at")
    graph = traitlets.Dict()
    weights = traitlets.Unicode()
    line = traitlets.Dict()  # the picture shown; the page sets it when words are typed or a picture is uploaded
    words = traitlets.Unicode("")  # what is drawn; empty for an uploaded picture
    typeface = traitlets.Enum(list(TYPEFACES), "sans")  # in which it is drawn
    query = cell()  # (column,) that is pinned, or shown first; empty without one
    # (block, head) whose arcs are shown; empty for the mean of all heads
    chosen: traitlets.List = traitlets.List(traitlets.Int(min=1))
    # (block, head) of every head that is knocked out: its weights are zero
    off: traitlets.List = traitlets.List(traitlets.List(traitlets.Int(min=1)))

    def __init__(self, picture: Any, **traits: Any) -> None:
        height, width, _ = picture.shape
        if height != HEIGHT or width % 8 or not 0 < width <= LONGEST:
            raise ValueError(
                f"A line is (48, W, 3) with W a multiple of 8, at most {LONGEST}; given {tuple(picture.shape)}."
            )
        check_place(traits.get("query", ()), (width // 8,), "(column,) of the line")
        chosen = traits.get("chosen") or []
        traits["chosen"] = checked_head("chosen", chosen, BLOCKS, HEADS) if chosen else []
        traits["off"] = [checked_head("off", one, BLOCKS, HEADS) for one in traits.get("off", ())]
        super().__init__(line=picture, **traits)

    @property
    def picture(self) -> np.ndarray:
        """The line shown, (3, 48, W) in [0, 1], as the network is given it."""
        pixels = np.frombuffer(base64.b64decode(self.line["data"]), np.uint8).reshape(self.line["shape"])
        return pixels.transpose(2, 0, 1).astype(np.float32) / 255
