"""`query-map`: one query's weights over all positions of a feature map, beside what convolutions reach from there."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from ..base import CourseWidget, cell
from ..limits import check_index, check_place, one_of

MOST_LAYERS = 13
"""So many 3x3 convolutions reach from one side of a 14 x 14 map to the other."""
TEMPERATURES = (0.25, 64.0)


class QueryMap(CourseWidget):
    """Point at a position: see how it weighs all others, what convolutions reach from there, and the output.

    The page computes softmax over the keys of query . key / temperature, and x + gamma * (weights @ values), from the
    numbers that it was given.

    Args:
        sources: what the learner may choose from; the first is shown first. Each has `key`, a short name, such as
            "photographs"; `title`, what the learner reads in the list; `about`, where queries, keys and values come
            from, in a sentence; `temperature` and `gamma`, where they begin; and `examples`, with grids of one size:
            `label`; `image`, (H, W) or (H, W, 3), uint8; `query`, (h, w, d), one for each position; `key`,
            (rows, columns, d), fewer positions where keys are pooled, left out where it is `query`; `value`,
            (rows, columns, 3), what each key adds to the three shown channels at weight 1 and gamma 1; `shown`,
            (h, w, 3), those channels of the input;
            `code`, lines that make `query`, `key`, `value` and `x`, one row for each position.
        network: makes the features of the learner's own pictures in the page: `graph` and `weights`, as `page_graph`
            makes them, from (3, 256, 256) to (positions, d), with `title`, `about`, `temperature` and `gamma` as those
            of a source, `made`, whose features they are, and `code`, which makes `x` of `picture`. Without it the
            learner can give no picture.
    """

    _module = "query_map"

    label = traitlets.Unicode("Query map: whom a position of a feature map attends to")
    # The exponential makes a small error in a score a large one in a weight: queries and keys keep 32 bits.
    sources: traitlets.List = traitlets.List().tag(exact=("query", "key"))
    network = traitlets.Dict()
    # key of the source shown; "own" while the learner's picture is, which never leaves the page
    source = traitlets.Unicode("").tag(of="sources")
    example = traitlets.Int(0)  # index of the picture shown
    query = cell()  # (row, column) of the pinned query, or of one to show until the learner points; empty without one
    temperature = traitlets.Float(1.0, min=TEMPERATURES[0], max=TEMPERATURES[1])  # what the scores are divided by
    gamma = traitlets.Float(1.0)  # the factor on the gathered values
    layers = traitlets.Int(2, min=1, max=MOST_LAYERS)  # how many 3x3 convolutions the second panel stacks

    def __init__(self, sources: Sequence[Mapping[str, Any]], **traits: Any) -> None:
        shown = one_of("source", traits.get("source", sources[0]["key"]), sources)
        check_index("example", traits.get("example", 0), len(shown["examples"]))
        traits["query"] = [int(i) for i in traits.get("query", ())]
        check_place(traits["query"], shown["examples"][0]["query"].shape[:2], "(row, column) of the map")
        first = {name: shown[name] for name in ("temperature", "gamma")}
        super().__init__(**{"sources": sources, **first, **traits})
