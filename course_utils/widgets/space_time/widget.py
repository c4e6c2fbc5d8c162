"""`space-time`: what one query of a clip sees, in joint attention and in the two steps of divided attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode
from ..limits import check_indices, check_place


@dataclass(frozen=True, eq=False)
class Clip:
    """A short film and its tokens.

    Args:
        label: what happens, in words: "a 9 moves, a 7 stands".
        frames: (T, H, W), uint8.
        tokens: (T, rows * columns, D), one feature vector for each cell of each frame; they cross as float16.
        moving: (T, rows, columns), the part of each cell that the moving thing covers, from 0 to 1.
        standing: (T, rows, columns), the same of the thing that stands still.
        code: a line that makes the tokens, as `tokens`, (1, T, rows * columns, D).
    """

    label: str
    frames: np.ndarray
    tokens: np.ndarray
    moving: np.ndarray
    standing: np.ndarray
    code: str = ""


class SpaceTime(CourseWidget):
    """A film strip; below it the weights of one query: joint, over time, over space, and both steps together.

    The page computes all weights from the tokens: queries, keys and values are the tokens themselves; the scores of the
    second step are divided by 4, since the residual about doubles the tokens before it.

    Args:
        clips: what the learner may choose from; all with the same sizes.
        label, caption, code: as in `CourseWidget`; `code` are the lines before those of the clip.
        traits: other traits, such as `clip`, `query`, `temperature`.

    Attributes:
        clip: index of the clip shown.
        query: (frame, row, column) of the query that is locked; empty while none is.
        temperature: the scores are divided by it.
        own_range: whether each row of panels uses the whole colour table.

    Raises:
        ValueError: if there is no clip, sizes do not fit together, a cover is not a part, or the query or the index of
            the clip lies outside.
    """

    _module = "space_time"

    clips: traitlets.List = traitlets.List().tag(sync=True)
    clip = traitlets.Int(0).tag(sync=True, echo_update=False)
    query = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)
    temperature = traitlets.Float(1.0, min=0.25, max=4).tag(sync=True, echo_update=False)
    own_range = traitlets.Bool(True).tag(sync=True, echo_update=False)

    def __init__(
        self,
        clips: Sequence[Clip],
        label: str = "Space-time attention: what one query of a clip sees",
        query: Sequence[int] = (),
        **traits: Any,
    ) -> None:
        if not clips:
            raise ValueError("SpaceTime needs at least one Clip, but was given none.")
        size = clips[0].moving.shape
        for clip in clips:
            _check(clip, size)
        check_indices(traits, {"clip": len(clips)})
        check_place(query, size, "(frame, row, column) of a clip")
        super().__init__(
            clips=[_encode_clip(clip) for clip in clips], label=label, query=[int(i) for i in query], **traits
        )


def _check(clip: Clip, size: tuple[int, ...]) -> None:
    if len(size) != 3 or 0 in size:
        raise ValueError(f"{clip.label!r} has covers of shape {size}, but (T, rows, columns) is needed, none of it 0.")
    frames, rows, columns = size
    if clip.frames.ndim != 3:
        raise ValueError(f"{clip.label!r} has frames of shape {clip.frames.shape}, but (T, H, W) is needed: grey ones.")
    if clip.moving.shape != size or clip.standing.shape != size or len(clip.frames) != frames:
        raise ValueError(
            f"{clip.label!r} has {len(clip.frames)} frames and covers of shapes {clip.moving.shape} and "
            f"{clip.standing.shape}; every clip needs {frames} frames of {rows} x {columns} cells."
        )
    if clip.tokens.ndim != 3 or clip.tokens.shape[:2] != (frames, rows * columns) or clip.tokens.shape[2] < 1:
        raise ValueError(
            f"{clip.label!r} has tokens of shape {clip.tokens.shape}; ({frames}, {rows * columns}, D) are needed."
        )
    for name in ("moving", "standing"):
        cover = getattr(clip, name)
        if not (cover.min() >= 0 and cover.max() <= 1):
            raise ValueError(f"{clip.label!r} has {name} from {cover.min()} to {cover.max()}; parts go from 0 to 1.")


def _encode_clip(clip: Clip) -> dict[str, Any]:
    return {
        "label": clip.label,
        "frames": encode(clip.frames, "uint8"),
        "tokens": encode(clip.tokens, "float16"),
        "moving": encode(np.rint(clip.moving * 255), "uint8"),
        "standing": encode(np.rint(clip.standing * 255), "uint8"),
        "code": clip.code,
    }
