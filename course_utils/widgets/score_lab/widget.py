"""`score-lab`: one query, two combinations of a score and an alignment, and all that follows from them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, cell
from ..limits import check_index, check_place, one_of

PLANE_STEPS = 61
"""A plane has 61 x 61 places, 0.1 apart: row 0 is y = 3, column 0 is x = -3."""

SCORE_NAMES = (
    "additive",
    "concat",
    "multiplicative",
    "scaled_multiplicative",
    "general",
    "biased_general",
    "activated_general",
    "similarity_euclidean",
    "similarity_cosine",
)
ALIGNMENT_NAMES = ("softmax", "sparsemax", "sigmoid", "hard", "local", "reinforced")


class ScoreLab(CourseWidget):
    """Two combinations of a score and an alignment on the same query, keys and values, side by side.

    In a plane, the first two numbers of a key are its place, and so are those of the query, which follows the pointer.
    On a picture, each cell of a grid has a key, and the query is the key of the cell in focus.

    Args:
        sources: what the learner may choose from. Each has `key`, a short name; `title`, what the learner reads in the
            list; `keys`, (K, D), of which the first d numbers are used; `values`, (K, 2) places in a plane, (K, 3)
            colours in [0, 1] on a picture; `steps`, how many (rows, columns) of places the query may take, a picture's
            cells; `start`, its (row, column) at first; `rest`, (D - 2,), the query's numbers after its place, None on
            a picture; `image`, (H, W, 3), uint8, None in a plane.
        parameters: {d: {"additive.query.weight": array, ...}}: the parameters of the learned scores for each width d,
            by the score's name and the parameter's; those of the agent of "reinforced" begin with "agent.policy.".
        scores: the scores of A and B.
        alignments: the alignments of A and B.
        query: (row, column) of the query that is shown until the learner points; by default the source's start.

    Raises:
        ValueError: if a source is unknown, a width does not fit it, or the query lies outside.
        TraitError: if a score or an alignment is unknown, or there are not two.
    """

    _module = "score_lab"

    label = traitlets.Unicode("Score lab: one query, two ways to score and to align")
    sources: traitlets.List = traitlets.List().tag(exact=("keys", "values", "rest"))
    parameters: traitlets.Dict = traitlets.Dict().tag(exact=True)
    source = traitlets.Unicode("").tag(of="sources")  # key of the source shown
    scores = traitlets.List(traitlets.Enum(SCORE_NAMES), ["scaled_multiplicative", "similarity_euclidean"], 2, 2)
    alignments = traitlets.List(traitlets.Enum(ALIGNMENT_NAMES), ["softmax", "softmax"], 2, 2)
    # d, how many numbers of each key and query are used, one of the widths in `parameters`; at first the smallest in a
    # plane, and as many as the keys have on a picture
    width = traitlets.Int(2)
    temperature = traitlets.Float(1.0, min=0.1, max=5)  # what the scores are divided by before they are aligned
    # the options of "local"; in a plane the keys stand on a line in the order of their numbers, and center is a place
    # on it; on a picture the center is the query's cell
    window = traitlets.Float(2.0, min=0.5, max=13)
    gaussian = traitlets.Bool(False)
    center = traitlets.Float(5.0, min=0)
    estimator = traitlets.Enum(["straight_through", "reinforce"], "straight_through")  # how "hard" passes a gradient
    own_range = traitlets.Bool(False)  # whether A and B each have a scale; at first on a picture
    sample = traitlets.Int(1, min=1)  # which draw "hard" and the agent of "reinforced" show
    chosen = traitlets.Int(0, min=0)  # the key whose weight's gradient is shown; at first 0, or the query's own
    query = cell()  # (row, column) of the query that is pinned or shown at first; empty: the source's start

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]],
        parameters: Mapping[int, Mapping[str, np.ndarray]],
        query: Sequence[int] = (),
        **traits: Any,
    ) -> None:
        shown = one_of("source", traits.get("source", sources[0]["key"]), sources)
        count, numbers = shown["keys"].shape
        on_plane = shown["image"] is None
        widths = [width for width in sorted(parameters) if width <= numbers]
        if traits.setdefault("width", widths[0 if on_plane else -1]) not in widths:
            raise ValueError(
                f"width={traits['width']} is not possible for {shown['key']!r}: its keys have {numbers} numbers each, "
                f"and there are parameters for the widths {', '.join(map(str, sorted(parameters)))}."
            )
        check_place(query, shown["steps"], "(row, column) of the query's places")
        row, column = query or shown["start"]
        traits.setdefault("chosen", 0 if on_plane else row * shown["steps"][1] + column)
        check_index("chosen", traits["chosen"], count)
        traits.setdefault("own_range", not on_plane)
        for name in ("temperature", "window", "center"):
            if not math.isfinite(traits.get(name, 0)):
                raise ValueError(f"{name}={traits[name]} is not a finite number; give one.")
        super().__init__(
            sources=sources,
            parameters={str(width): arrays for width, arrays in sorted(parameters.items())},
            query=query,
            **traits,
        )
