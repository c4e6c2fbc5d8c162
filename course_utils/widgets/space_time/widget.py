"""`space-time`: what one query of a clip sees, in joint attention and in the two steps of divided attention."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..base import CourseWidget, cell
from ..limits import check_index, check_place


class SpaceTime(CourseWidget):
    """A clip's frame, its film strip, and the weights of one query: joint, over time, over space, and both steps.

    The page computes all weights from the tokens: queries, keys and values are the tokens themselves; the scores of the
    second step are divided by 4, since the residual about doubles the tokens before it.

    Args:
        clips: what the learner may choose from, all with the same sizes: `label`, what happens, in words; `frames`,
            (T, H, W), uint8; `tokens`, (T, rows * columns, D), a feature vector for each cell of each frame; `moving`
            and `standing`, (T, rows, columns), uint8: which part of each cell, in 255ths, the thing that moves or
            stands still covers; `code`, a line that makes the tokens, as `tokens`, (1, T, rows * columns, D).
        code: the lines before those of the clip.
    """

    _module = "space_time"

    label = traitlets.Unicode("Space-time attention: what one query of a clip sees")
    clips: traitlets.List = traitlets.List()
    clip = traitlets.Int(0).tag(of="clips")  # index of the clip shown
    frame = traitlets.Int(0)  # which frame of the clip is shown large, from 0; by default the one in the middle
    # (frame, row, column) of the query that is pinned or shown at first, each from 0; empty while none is
    query = cell()
    temperature = traitlets.Float(1.0, min=0.25, max=4)  # the scores are divided by it
    own_range = traitlets.Bool(True)  # whether each row of panels uses the whole colour table

    def __init__(self, clips: Sequence[Mapping[str, Any]], **traits: Any) -> None:
        shape = clips[0]["moving"].shape
        check_index("frame", traits.setdefault("frame", (shape[0] - 1) // 2), shape[0])
        check_place(traits.get("query", ()), shape, "(frame, row, column) of a clip")
        super().__init__(clips=clips, **traits)
