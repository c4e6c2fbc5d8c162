"""`query-map`: one query's weights over all positions of a feature map, beside what convolutions reach from there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, as_array, encode

MOST_LAYERS = 13
"""So many 3x3 convolutions reach from one side of a 14 x 14 map to the other."""
TEMPERATURES = (0.25, 64.0)


@dataclass(frozen=True, eq=False)
class QueryExample:
    """One picture with the queries, keys and values of its positions.

    Args:
        label: what it shows, in words.
        image: (H, W) or (H, W, 3), uint8.
        query: (h, w, d), one query a position.
        key: (rows, columns, d), one key a position; fewer positions where keys are pooled.
        value: (rows, columns, 3), what each key adds to the three shown channels at weight 1 and gamma 1.
        shown: (h, w, 3), the three shown channels of the input.
        code: lines that make `query`, `key`, `value` and `x`, a row a position.
    """

    label: str
    image: np.ndarray
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    shown: np.ndarray
    code: str = ""

    def __post_init__(self) -> None:
        grids = {name: getattr(self, name).shape for name in ("query", "key", "value", "shown")}
        fits = (
            all(len(shape) == 3 for shape in grids.values())
            and grids["key"][2] == grids["query"][2]
            and grids["value"] == (*grids["key"][:2], 3)
            and grids["shown"] == (*grids["query"][:2], 3)
        )
        if not fits:
            raise ValueError(
                f"{self.label!r} has {', '.join(f'{name} {shape}' for name, shape in grids.items())}; needed are query "
                "(h, w, d), key (rows, columns, d), value (rows, columns, 3) and shown (h, w, 3)."
            )


@dataclass(frozen=True, eq=False)
class QuerySource:
    """Pictures whose positions went through the same projections.

    Args:
        key: a short name, such as "photographs".
        title: what the learner reads in the list.
        about: where queries, keys and values come from, in a sentence; it stands below the panels.
        examples: the pictures, all with grids of the same size.
        temperature: what the scores are divided by at first.
        gamma: the factor on the gathered values at first.

    Raises:
        ValueError: if there is no example, or grids differ.
    """

    key: str
    title: str
    about: str
    examples: Sequence[QueryExample]
    temperature: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        sizes = {(example.query.shape, example.key.shape) for example in self.examples}
        if len(sizes) != 1:
            raise ValueError(f"The source {self.key!r} needs examples with grids of one size; it has {sorted(sizes)}.")


class QueryMap(CourseWidget):
    """Point at a position: see how it weighs all others, what convolutions reach from there, and the output.

    The page computes softmax over the keys of query . key / temperature, and x + gamma * (weights @ values), from the
    numbers that it was given.

    Args:
        sources: what the learner may choose from; the first is shown first.
        label: the widget's name for a screen reader.
        traits: other traits, such as `source`, `query`, `caption`.

    Attributes:
        source: key of the source shown.
        example: index of the picture shown.
        query: (row, column) of the locked query; empty without one.
        temperature: what the scores are divided by.
        gamma: the factor on the gathered values.
        layers: how many 3x3 convolutions the second panel stacks.

    Raises:
        ValueError: if there is no source, or none of the name given.
    """

    _module = "query_map"

    sources: traitlets.List = traitlets.List().tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True, echo_update=False)
    example = traitlets.Int(0).tag(sync=True, echo_update=False)
    query = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)
    temperature = traitlets.Float(1.0, min=TEMPERATURES[0], max=TEMPERATURES[1]).tag(sync=True, echo_update=False)
    gamma = traitlets.Float(1.0).tag(sync=True, echo_update=False)
    layers = traitlets.Int(2, min=1, max=MOST_LAYERS).tag(sync=True, echo_update=False)

    def __init__(
        self,
        sources: Sequence[QuerySource],
        label: str = "Query map: whom a position of a feature map attends to",
        **traits: Any,
    ) -> None:
        known = {source.key: source for source in sources}
        if not known:
            raise ValueError("QueryMap needs at least one QuerySource; none was given.")
        shown = known.get(traits.setdefault("source", sources[0].key))
        if shown is None:
            raise ValueError(f"There is no source {traits['source']!r}; there are: {', '.join(map(repr, known))}.")
        example, query = traits.setdefault("example", 0), list(traits.pop("query", ()))
        if not 0 <= example < len(shown.examples):
            raise ValueError(
                f"There is no example {example} of {shown.key!r}; there are {len(shown.examples)}, counted from 0."
            )
        rows, columns = shown.examples[0].query.shape[:2]
        if query and not (len(query) == 2 and 0 <= query[0] < rows and 0 <= query[1] < columns):
            raise ValueError(f"query={tuple(query)} is not a (row, column) of a map of {rows} x {columns} positions.")
        traits.setdefault("temperature", shown.temperature)
        traits.setdefault("gamma", shown.gamma)
        super().__init__(
            sources=[_encode_source(source) for source in sources],
            label=label,
            query=[int(i) for i in query],
            **traits,
        )


def _encode_source(source: QuerySource) -> dict[str, Any]:
    return {
        "key": source.key,
        "title": source.title,
        "about": source.about,
        "temperature": source.temperature,
        "gamma": source.gamma,
        "examples": [
            {
                "label": example.label,
                "image": encode(example.image, "uint8"),
                # The exponential makes a small error in a score a large one in a weight: no float16 here.
                **{name: encode(as_array(getattr(example, name)), "float32") for name in ("query", "key")},
                **{name: encode(as_array(getattr(example, name))) for name in ("value", "shown")},
                "code": example.code,
            }
            for example in source.examples
        ],
    }
