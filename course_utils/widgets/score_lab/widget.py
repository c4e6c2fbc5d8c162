"""`score-lab`: one query, two combinations of a score and an alignment, and all that follows from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode
from ..limits import check_indices

PLANE_STEPS = 61
"""A plane is walked in 61 x 61 steps of 0.1: row 0 is y = 3, column 0 is x = -3."""

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


@dataclass(frozen=True, eq=False)
class LabSource:
    """Keys to be weighed, and the queries that weigh them.

    In a plane the first two numbers of a key are its place, and so are those of the query, which goes wherever the
    learner takes it. On a picture each cell of a grid has a key, and the query is the key of the cell in focus.

    Args:
        key: a short name, such as "plane".
        title: what the learner reads in the list.
        keys: (K, D); the first d numbers of each are used, d being what the learner chooses.
        values: (K, dv): (K, 2) places in a plane, (K, 3) colours in [0, 1] on a picture.
        start: the (row, column) of the query at first: a step of the plane, or a cell of the picture.
        rest: (D - 2,), the query's numbers after its place; for a plane.
        image: (H, W, 3), uint8; for a picture.
        grid: (rows, columns) of the picture's cells, rows * columns = K.

    Raises:
        ValueError: if the shapes do not fit together.
    """

    key: str
    title: str
    keys: np.ndarray
    values: np.ndarray
    start: tuple[int, int]
    rest: np.ndarray | None = None
    image: np.ndarray | None = None
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.keys.ndim != 2 or 0 in self.keys.shape:
            raise ValueError(
                f"The source {self.key!r} has keys of shape {self.keys.shape}, but (K, D) is needed: at least one key "
                "of at least one number."
            )
        count, width = self.keys.shape
        if (self.image is None) != (self.grid is None) or (self.image is None) == (self.rest is None):
            raise ValueError(f"The source {self.key!r} is a plane, with rest, or a picture, with image and grid.")
        wanted = (count, 2 if self.grid is None else 3)
        if self.values.shape != wanted:
            raise ValueError(f"The source {self.key!r} needs values {wanted}, but was given {self.values.shape}.")
        if self.rest is not None and self.rest.shape != (width - 2,):
            raise ValueError(f"Keys {self.keys.shape} need a rest of shape {(width - 2,)}, not {self.rest.shape}.")
        if self.grid is not None and self.grid[0] * self.grid[1] != count:
            raise ValueError(f"A grid of {self.grid[0]} x {self.grid[1]} cells has not {count} keys.")
        if self.image is not None and (self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.size == 0):
            raise ValueError(f"The source {self.key!r} has an image {self.image.shape}, but (H, W, 3) is needed.")
        rows, columns = self.steps
        if not (0 <= self.start[0] < rows and 0 <= self.start[1] < columns):
            raise ValueError(f"start={self.start} is no (row, column) of {rows} x {columns}.")

    @property
    def steps(self) -> tuple[int, int]:
        """How many rows and columns of places the query may take."""
        return self.grid or (PLANE_STEPS, PLANE_STEPS)


class ScoreLab(CourseWidget):
    """Two combinations of a score and an alignment on the same query, keys and values, side by side.

    Args:
        sources: what the learner may choose from.
        parameters: {d: {"additive.query.weight": array, ...}}: the parameters of the learned scores for each width d,
            by the score's name and the parameter's; those of the agent of "reinforced" begin with "agent.policy.".
        scores: the scores of A and B.
        alignments: the alignments of A and B.
        query: (row, column) of the query at first; by default the source's start.
        label: the widget's name for a screen reader.
        traits: other traits.

    Attributes:
        source: key of the source shown.
        width: d, how many numbers of each key and query are used; one of the widths in `parameters`. At first 2, or the
            smallest there is, in a plane, and as many as the keys have on a picture.
        temperature: what the scores are divided by before they are aligned.
        window, gaussian, center: the options of "local"; in a plane the keys stand on a line in the order of their
            numbers, and center is a place on it; on a picture the center is the query's cell.
        estimator: "straight_through" or "reinforce": how "hard" passes a gradient.
        sample: which draw "hard" and the agent of "reinforced" show.
        chosen: the key whose weight's gradient is shown; at first key 0, on a picture the query's own.
        query: (row, column) of the pinned query.
        locked: whether it is pinned.

    Raises:
        ValueError: if a name is unknown, a width fits no source, or the query lies outside.
    """

    _module = "score_lab"

    sources: traitlets.List = traitlets.List().tag(sync=True)
    parameters: traitlets.Dict = traitlets.Dict().tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True, echo_update=False)
    scores: traitlets.List = traitlets.List(traitlets.Enum(SCORE_NAMES), minlen=2, maxlen=2).tag(
        sync=True, echo_update=False
    )
    alignments: traitlets.List = traitlets.List(traitlets.Enum(ALIGNMENT_NAMES), minlen=2, maxlen=2).tag(
        sync=True, echo_update=False
    )
    width = traitlets.Int(2).tag(sync=True, echo_update=False)
    temperature = traitlets.Float(1.0, min=0.1, max=5).tag(sync=True, echo_update=False)
    window = traitlets.Float(2.0, min=0.5, max=13).tag(sync=True, echo_update=False)
    gaussian = traitlets.Bool(False).tag(sync=True, echo_update=False)
    center = traitlets.Float(5.0, min=0).tag(sync=True, echo_update=False)
    estimator = traitlets.Enum(["straight_through", "reinforce"], "straight_through").tag(sync=True, echo_update=False)
    sample = traitlets.Int(1, min=1).tag(sync=True, echo_update=False)
    chosen = traitlets.Int(0, min=0).tag(sync=True, echo_update=False)
    query: traitlets.List = traitlets.List(traitlets.Int(min=0), minlen=2, maxlen=2).tag(sync=True, echo_update=False)
    locked = traitlets.Bool(False).tag(sync=True, echo_update=False)

    def __init__(
        self,
        sources: Sequence[LabSource],
        parameters: Mapping[int, Mapping[str, np.ndarray]],
        scores: tuple[str, str] = ("scaled_multiplicative", "similarity_euclidean"),
        alignments: tuple[str, str] = ("softmax", "softmax"),
        query: tuple[int, int] | None = None,
        label: str = "Score lab: one query, two ways to score and to align",
        **traits: Any,
    ) -> None:
        known = {source.key: source for source in sources}
        shown = known.get(traits.setdefault("source", next(iter(known), "")))
        if shown is None:
            raise ValueError(f"There is no source {traits['source']!r}; there are: {', '.join(known) or 'none'}.")
        if len(known) < len(sources):
            raise ValueError(f"Two sources have one key: {', '.join(source.key for source in sources)}.")
        for width, arrays in parameters.items():
            _check_parameters(width, arrays)
        for given, names in ((scores, SCORE_NAMES), (alignments, ALIGNMENT_NAMES)):
            unknown = [name for name in given if name not in names]
            if unknown or len(given) != 2:
                raise ValueError(f"ScoreLab was given {given}, but needs two of {', '.join(names)}.")
        widths = [width for width in sorted(parameters) if width <= shown.keys.shape[1]]
        smallest, widest = (widths[0], widths[-1]) if widths else (2, 2)
        if traits.setdefault("width", smallest if shown.grid is None else widest) not in widths:
            raise ValueError(
                f"width={traits['width']} is not possible for {shown.key!r}: its keys have {shown.keys.shape[1]} "
                f"numbers each, and there are parameters for the widths "
                f"{', '.join(map(str, sorted(parameters))) or 'none'}."
            )
        rows, columns = shown.steps
        place = shown.start if query is None else query
        if not (0 <= place[0] < rows and 0 <= place[1] < columns):
            raise ValueError(f"query={tuple(place)} is no (row, column) of {rows} x {columns} places.")
        traits.setdefault("chosen", 0 if shown.grid is None else place[0] * columns + place[1])
        check_indices(traits, {"chosen": len(shown.keys)})
        for name in ("temperature", "window", "center"):
            if not math.isfinite(traits.get(name, 0)):
                raise ValueError(f"{name}={traits[name]} is no number to go on with; give a finite one.")
        super().__init__(
            sources=[_encode_source(source) for source in sources],
            parameters={
                str(width): {name: encode(values, "float32") for name, values in parameters[width].items()}
                for width in sorted(parameters)
            },
            scores=list(scores),
            alignments=list(alignments),
            query=[int(i) for i in place],
            label=label,
            **traits,
        )


def _check_parameters(width: int, given: Mapping[str, np.ndarray]) -> None:
    """Refuse parameters that lack one, or have one of another shape, for the width d; dw is additive's."""
    first = np.shape(given.get("additive.query.weight", ()))
    hidden = first[0] if first else 0
    pair = {"query.weight": (hidden, width), "key.weight": (hidden, width), "key.bias": (hidden,)}
    joint = {"joint.weight": (hidden, 2 * width), "joint.bias": (hidden,)}
    turn: dict[str, tuple[int, ...]] = {"weight.weight": (width, width)}
    scores: dict[str, dict[str, tuple[int, ...]]] = {
        "additive": {**pair, "vector.weight": (1, hidden)},
        "concat": {**joint, "vector.weight": (1, hidden)},
        "general": turn,
        "biased_general": {**turn, "weight.bias": (width,)},
        "activated_general": {**turn, "scalar": ()},
        "agent.policy": {**pair, "vector.weight": (1, hidden)},
    }
    for score, parts in scores.items():
        for part, shape in parts.items():
            name = f"{score}.{part}"
            found = np.shape(given[name]) if name in given else "none"
            if found != shape:
                raise ValueError(f"The parameters of width {width} need {name} of shape {shape}; there is {found}.")


def _encode_source(source: LabSource) -> dict[str, Any]:
    return {
        "key": source.key,
        "title": source.title,
        "keys": encode(source.keys, "float32"),
        "values": encode(source.values, "float32"),
        "start": list(source.start),
        "steps": list(source.steps),
        "rest": None if source.rest is None else encode(source.rest, "float32"),
        "image": None if source.image is None else encode(source.image, "uint8"),
    }
