"""`mask-playground`: one picture, and a mask of each of the six categories to move by hand or to have made from it."""

from collections.abc import Mapping
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

    Attributes:
        picture: key of the picture shown.
        category: one of `CATEGORIES`.
        source: where the mask comes from, "hand", "picture" or "trained", which has one weight for each position.
        rest: what a spatial mask leaves over, "dark", "blurred" or "replaced" by a colour.
        gates: the three channels' weights, 0 to 1, where the hand sets them.
        spot: centre of the spotlight, (row, column) as shares of height and width.
        size: standard deviation of the spotlight, as a share of the height.
        moment: centre of the window in time, as a frame's number.
        window: standard deviation of the window in time, in frames.
        fine: the fine branch's share; the coarse branch has the rest.

    Raises:
        ValueError: if there is no such picture, or a trained mask is asked for in another category than "spatial".
    """

    _module = "mask_playground"

    label = traitlets.Unicode("Mask playground: a picture, a mask, and the picture with the mask applied")
    pictures = traitlets.List(traitlets.Dict())
    network = traitlets.Dict()
    picture = traitlets.Unicode("").tag(of="pictures")
    category = traitlets.Enum(CATEGORIES, "spatial")
    source = traitlets.Enum(SOURCES, "hand")
    rest = traitlets.Enum(RESTS, "dark")
    gates = traitlets.List(traitlets.Float(min=0, max=1), [1.0, 1.0, 1.0], 3, 3)
    spot = traitlets.List(traitlets.Float(min=0, max=1), [0.24, 0.82], 2, 2)
    size = traitlets.Float(0.16, min=0.04, max=0.6)
    moment = traitlets.Float(6, min=0, max=8)
    window = traitlets.Float(1.2, min=0.3, max=6)
    fine = traitlets.Float(0.3, min=0, max=1)

    def __init__(self, network: tuple[Mapping[str, Any], str], **traits: Any) -> None:
        if traits.get("source") == "trained" and traits.get("category", "spatial") != "spatial":
            raise ValueError('source="trained" gives one weight for each position; use category="spatial".')
        super().__init__(network={"graph": network[0], "weights": network[1]}, **traits)
