"""`mask-playground`: one picture, and a mask of each of the six categories to move by hand or to have made from it."""

from collections.abc import Mapping, Sequence
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
        network: the graph and the weights of a segmenter, as `page_graph` makes them; None: no trained mask.
        code: the lines that import what the copied code needs.
        traits: the settings below.

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
        ValueError: if there is no picture of the name given; if a trained mask is asked for without a network, or in
            another category than "spatial".
    """

    _module = "mask_playground"

    label = traitlets.Unicode("Mask playground: a picture, a mask, and the picture with the mask applied").tag(
        sync=True
    )
    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)
    network = traitlets.Dict().tag(sync=True)
    picture = traitlets.Unicode("").tag(sync=True, echo_update=False)
    category = traitlets.Enum(CATEGORIES, "spatial").tag(sync=True, echo_update=False)
    source = traitlets.Enum(SOURCES, "hand").tag(sync=True, echo_update=False)
    rest = traitlets.Enum(RESTS, "dark").tag(sync=True, echo_update=False)
    gates = traitlets.List(traitlets.Float(min=0, max=1), [1.0, 1.0, 1.0], 3, 3).tag(sync=True, echo_update=False)
    spot = traitlets.List(traitlets.Float(min=0, max=1), [0.24, 0.82], 2, 2).tag(sync=True, echo_update=False)
    size = traitlets.Float(0.16, min=0.04, max=0.6).tag(sync=True, echo_update=False)
    moment = traitlets.Float(6, min=0, max=8).tag(sync=True, echo_update=False)
    window = traitlets.Float(1.2, min=0.3, max=6).tag(sync=True, echo_update=False)
    fine = traitlets.Float(0.3, min=0, max=1).tag(sync=True, echo_update=False)

    def __init__(
        self,
        pictures: Sequence[Mapping[str, Any]],
        network: tuple[Mapping[str, Any], str] | None = None,
        **traits: Any,
    ) -> None:
        keys = [picture["key"] for picture in pictures]
        if traits.setdefault("picture", keys[0]) not in keys:
            raise ValueError(f"There is no picture {traits['picture']!r} here; there are: {', '.join(keys)}.")
        if traits.get("source") == "trained" and (network is None or traits.get("category", "spatial") != "spatial"):
            raise ValueError(
                'source="trained" needs a network, and gives one weight for each position; use category="spatial".'
            )
        graph, weights = network or (None, "")
        super().__init__(pictures=pictures, network={"graph": graph, "weights": weights}, **traits)
