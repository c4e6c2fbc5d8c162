"""`mask-playground`: one picture, and a mask of each of the six categories to move by hand or to have made from it."""

from typing import Any

import traitlets

from ..base import CourseWidget

CATEGORIES = ("channel", "spatial", "channel & spatial", "temporal", "spatial & temporal", "branch")
SOURCES = ("hand", "picture", "trained")
RESTS = ("dark", "blurred", "replaced")
FRAMES_ACROSS = 3


class MaskPlayground(CourseWidget):
    """x, a mask, and f(mask, x) side by side, for each of the six categories of attention.

    The mask is set by hand, and then it is the same for every picture; or it is made from the picture, by one formula,
    the distance from the mean colour, or by a network that was trained to find people. Everything is computed in the
    page, for the learner's own pictures and camera too, which stay there.

    Args:
        pictures: what the learner may choose from. Each has `key`, its name in code; `title`, its name in words;
            `still`, a JPEG file of 288 x 216 pixels in base64; `clip`, one of the same size: nine frames, which fill
            three rows of three.
        network: the graph and the weights of a segmenter, as `page_graph` makes them.
        code: the lines that import what the copied code needs.

    Raises:
        ValueError: if there is no such picture, or a trained mask is asked for in another category than "spatial".
    """

    _module = "mask_playground"

    label = traitlets.Unicode("Mask playground: a picture, a mask, and the picture with the mask applied")
    pictures = traitlets.List(traitlets.Dict())
    network = traitlets.Dict()
    picture = traitlets.Unicode("").tag(of="pictures")  # key of the picture shown
    category = traitlets.Enum(CATEGORIES, "spatial")
    source = traitlets.Enum(SOURCES, "hand")  # of the mask; "trained" has one weight for each position
    rest = traitlets.Enum(RESTS, "dark")  # what a spatial mask leaves over
    gates = traitlets.List(traitlets.Float(min=0, max=1), [1.0, 1.0, 1.0], 3, 3)  # the channels' weights by hand
    spot = traitlets.List(traitlets.Float(min=0, max=1), [0.24, 0.82], 2, 2)  # (row, column) of its centre, as shares
    size = traitlets.Float(0.16, min=0.04, max=0.6)  # standard deviation of the spotlight, as a share of the height
    moment = traitlets.Float(6, min=0, max=8)  # centre of the window in time, as a frame's number
    window = traitlets.Float(1.2, min=0.3, max=6)  # standard deviation of the window in time, in frames
    fine = traitlets.Float(0.3, min=0, max=1)  # the fine branch's share; the coarse branch has the rest

    def __init__(self, **traits: Any) -> None:
        if traits.get("source") == "trained" and traits.get("category", "spatial") != "spatial":
            raise ValueError('source="trained" gives one weight for each position; use category="spatial".')
        super().__init__(**traits)
