"""`head-grid`: every head of a small transformer side by side, for one query; heads knocked out, keys masked."""

from collections.abc import Iterable
from typing import Any

import traitlets

from ...names import check_name
from ..base import CourseWidget, cell
from ..limits import checked_head

MASKS = ("none", "causal", "window 1", "window 2", "window 3", "padding")
LIMITS = (1 / 128, 1.0)


class HeadGrid(CourseWidget):
    """One query, all heads of all layers: whom each weighs, why, and what becomes of the answer without some of them.

    The page runs the whole network. Layers and heads count from 1, rows and columns of patches from 0; the class token
    stands below the last row, at (rows, 0).

    Args:
        graph, weights: of a `VisionTransformer`, as `page_graph` gives them.
        pictures: what the learner may choose from: `label`; `input`, (C, H, W) in [0, 1]; `answer`, index of the right
            class; `code`, lines that make `network` and `image`, a batch of this picture.
    """

    _module = "head_grid"

    label = traitlets.Unicode("Head grid: every head of a transformer for one query")
    graph = traitlets.Dict()
    weights = traitlets.Unicode()
    pictures: traitlets.List = traitlets.List().tag(exact=("input",))
    layers = traitlets.Int(1, min=1)  # how many there are
    heads = traitlets.Int(1, min=1)  # of each layer
    grid: traitlets.List = traitlets.List(traitlets.Int(min=1))  # (rows, columns) of the patches
    picture = traitlets.Int(0, min=0).tag(of="pictures")  # index of the picture shown
    query = cell()  # (row, column) of the pinned query, or of the one shown first; empty without one
    # (layer, head) that is shown large, and whose products are shown
    chosen: traitlets.List = traitlets.List(traitlets.Int(min=1))
    key = cell()  # (row, column) of the key whose products are shown; empty for the one with the largest weight
    # (layer, head) of every head that is knocked out: its weights are zero
    off: traitlets.List = traitlets.List(traitlets.List(traitlets.Int(min=1)))
    mask = traitlets.Enum(MASKS, "none")  # who may attend to whom, in every layer: one of `MASKS`
    limit = traitlets.Float(0.25, min=LIMITS[0], max=LIMITS[1])  # the weight at which the colours end

    def __init__(self, layers: int, heads: int, grid: tuple[int, int], **traits: Any) -> None:
        check_name("mask", traits.get("mask", "none"), MASKS)
        for name in ("query", "key"):
            traits[name] = _place(name, traits.get(name, ()), *grid)
        traits["chosen"] = checked_head("chosen", traits.get("chosen", (1, 1)), layers, heads)
        traits["off"] = [checked_head("off", one, layers, heads) for one in traits.get("off", ())]
        super().__init__(layers=layers, heads=heads, grid=grid, **traits)


def _place(name: str, place: Iterable[Any], rows: int, columns: int) -> list[int]:
    found = [int(i) for i in place]
    if found and not (
        len(found) == 2 and (found in ([rows, 0],) or (found[0] in range(rows) and found[1] in range(columns)))
    ):
        raise ValueError(
            f"{name}={tuple(found)} is neither a (row, column) of {rows} x {columns} patches nor the class token, "
            f"({rows}, 0)."
        )
    return found
