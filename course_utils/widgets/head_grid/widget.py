"""`head-grid`: every head of a small transformer side by side, for one query; heads knocked out, keys masked."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import traitlets

from ..base import CourseWidget, encode_fields
from ..limits import check_indices

MASKS = ("none", "causal", "window 1", "window 2", "window 3", "padding")
LIMITS = (1 / 128, 1.0)


class HeadGrid(CourseWidget):
    """One query, all heads of all layers: whom each weighs, why, and what becomes of the answer without some of them.

    The page runs the whole network. Layers and heads count from 1, rows and columns of patches from 0; the class token
    stands below the last row, at (rows, 0).

    Args:
        network: the graph and the weights of a `VisionTransformer`, as `page_graph` gives them.
        layers: how many there are.
        heads: of each layer.
        pictures: what the learner may choose from: `label`; `input`, (C, H, W) in [0, 1]; `answer`, index of the right
            class; `code`, lines that make `network` and `image`, a batch of this picture.
        grid: (rows, columns) of the patches.
        label: the widget's name for a screen reader.
        traits: other traits, such as `picture`, `query`, `off`, `mask`, `caption`.

    Attributes:
        picture: index of the picture shown.
        query: (row, column) of the pinned query, or of the one shown first; empty without one.
        chosen: (layer, head) that is shown large, and whose products are shown.
        key: (row, column) of the key whose products are shown; empty for the one with the largest weight.
        off: (layer, head) of every head that is knocked out: its weights are zero.
        mask: who may attend to whom, in every layer: one of `MASKS`.
        limit: the weight at which the colours end.

    Raises:
        ValueError: if a trait names what is not there.
    """

    _module = "head_grid"

    graph = traitlets.Dict().tag(sync=True)
    weights = traitlets.Unicode().tag(sync=True)
    pictures: traitlets.List = traitlets.List().tag(sync=True)
    layers = traitlets.Int(1, min=1).tag(sync=True)
    heads = traitlets.Int(1, min=1).tag(sync=True)
    grid: traitlets.List = traitlets.List(traitlets.Int(min=1)).tag(sync=True)
    picture = traitlets.Int(0, min=0).tag(sync=True, echo_update=False)
    query: traitlets.List = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)
    chosen: traitlets.List = traitlets.List(traitlets.Int(min=1)).tag(sync=True, echo_update=False)
    key: traitlets.List = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)
    off: traitlets.List = traitlets.List(traitlets.List(traitlets.Int(min=1))).tag(sync=True, echo_update=False)
    mask = traitlets.Enum(MASKS, "none").tag(sync=True, echo_update=False)
    limit = traitlets.Float(0.25, min=LIMITS[0], max=LIMITS[1]).tag(sync=True, echo_update=False)

    def __init__(
        self,
        network: tuple[dict[str, Any], str],
        layers: int,
        heads: int,
        pictures: Sequence[Mapping[str, Any]],
        grid: tuple[int, int],
        label: str = "Head grid: every head of a transformer for one query",
        **traits: Any,
    ) -> None:
        check_indices(traits, {"picture": len(pictures)})
        if traits.get("mask", "none") not in MASKS:
            raise ValueError(f"There is no mask {traits['mask']!r}; there are: {', '.join(map(repr, MASKS))}.")
        query, key = (_place(name, traits.pop(name, ()), *grid) for name in ("query", "key"))
        chosen = _head("chosen", traits.pop("chosen", (1, 1)), layers, heads)
        off = [_head("off", one, layers, heads) for one in traits.pop("off", ())]
        super().__init__(
            graph=network[0],
            weights=network[1],
            pictures=encode_fields(pictures, exact={"input"}),
            layers=layers,
            heads=heads,
            grid=list(grid),
            label=label,
            query=query,
            key=key,
            chosen=chosen,
            off=off,
            **traits,
        )


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


def _head(name: str, head: Iterable[Any], layers: int, heads: int) -> list[int]:
    found = [int(i) for i in head]
    if not (len(found) == 2 and 1 <= found[0] <= layers and 1 <= found[1] <= heads):
        raise ValueError(
            f"{name} names {tuple(found)}, which is no (layer, head) of {layers} layers with {heads} heads, counted "
            "from 1."
        )
    return found
