"""`mask-playground`: one picture, and a mask of each of the six categories to move by hand or to have made from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..base import CourseWidget, encode_fields

CATEGORIES = ("channel", "spatial", "channel & spatial", "temporal", "spatial & temporal", "branch")
SOURCES = ("hand", "picture")
FRAMES_ACROSS = 3


class MaskPlayground(CourseWidget):
    """x, a mask, and f(mask, x) side by side, for each of the six categories of attention.

    The mask is set by hand, and then it is the same for every picture; or it is made from the picture by one formula,
    the distance from the mean colour. Everything is computed in the page.

    Args:
        pictures: what the learner may choose from, all of one size. Each has `key`, its name in code; `title`, its
            name in words; `still`, (H, W, 3), uint8, H and W multiples of 12; `clip`, (9, H / 3, W / 3, 3), uint8:
            nine frames, which fill three rows of three.
        label, caption, code: as in `CourseWidget`; `code` are the lines that import what the copied code needs.
        traits: the settings below.

    Attributes:
        picture: key of the picture shown.
        category: one of `CATEGORIES`.
        source: where the mask comes from, "hand" or "picture".
        gates: the three channels' weights, 0 to 1, where the hand sets them.
        spot: centre of the spotlight, (row, column) as shares of height and width.
        size: standard deviation of the spotlight, as a share of the height.
        moment: centre of the window in time, as a frame's number.
        window: standard deviation of the window in time, in frames.
        fine: the fine branch's share; the coarse branch has the rest.

    Raises:
        ValueError: if there is no picture of the name given.
    """

    _module = "mask_playground"

    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)
    picture = traitlets.Unicode("").tag(sync=True, echo_update=False)
    category = traitlets.Enum(CATEGORIES, "spatial").tag(sync=True, echo_update=False)
    source = traitlets.Enum(SOURCES, "hand").tag(sync=True, echo_update=False)
    gates = traitlets.List(traitlets.Float(min=0, max=1), [1.0, 1.0, 1.0], 3, 3).tag(sync=True, echo_update=False)
    spot = traitlets.List(traitlets.Float(min=0, max=1), [0.24, 0.82], 2, 2).tag(sync=True, echo_update=False)
    size = traitlets.Float(0.16, min=0.04, max=0.6).tag(sync=True, echo_update=False)
    moment = traitlets.Float(6, min=0, max=8).tag(sync=True, echo_update=False)
    window = traitlets.Float(1.2, min=0.3, max=6).tag(sync=True, echo_update=False)
    fine = traitlets.Float(0.3, min=0, max=1).tag(sync=True, echo_update=False)

    def __init__(
        self,
        pictures: Sequence[Mapping[str, Any]],
        *,
        label: str = "Mask playground: a picture, a mask, and the picture with the mask applied",
        caption: str = "",
        code: str = "",
        **traits: Any,
    ) -> None:
        keys = [picture["key"] for picture in pictures]
        if traits.setdefault("picture", keys[0]) not in keys:
            raise ValueError(f"There is no picture {traits['picture']!r} here; there are: {', '.join(keys)}.")
        super().__init__(
            pictures=encode_fields(pictures),
            label=label,
            caption=caption,
            code=code,
            **traits,
        )
