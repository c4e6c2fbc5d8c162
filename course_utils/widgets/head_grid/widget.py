"""`head-grid`: every head of a small transformer side by side, for one query; heads knocked out, keys masked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, as_array, encode

MASKS = ("none", "causal", "window 1", "window 2", "window 3", "padding")
LIMITS = (1 / 128, 1.0)
_LAYER = (
    "attention_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.output",
    "mlp_norm",
    "widen",
    "narrow",
)
_KINDS = ("weight", "bias")


@dataclass(frozen=True, eq=False)
class TokenPicture:
    """One picture as the tokens that a transformer's first layer reads.

    Args:
        label: what it shows, in words.
        image: (H, W) or (H, W, 3), uint8.
        tokens: (1 + rows * columns, embed_dim): the class token, then the patches row by row, positions added.
        answer: index of the right class.
        code: lines that make `network` and `image`, a batch of this picture.
    """

    label: str
    image: np.ndarray
    tokens: np.ndarray
    answer: int
    code: str = ""


class HeadGrid(CourseWidget):
    """One query, all heads of all layers: whom each weighs, why, and what becomes of the answer without some of them.

    The page runs the whole network from its parameters: pre-norm layers of multi-head attention and a two-layer
    network with GELU, then a norm and a linear head on the class token. Layers and heads count from 1, rows and columns
    of patches from 0; the class token stands below the last row, at (rows, 0).

    Args:
        parameters: by the names of `VisionTransformer.state_dict()`, from "blocks.0.attention_norm.weight" on, with
            "norm" and "head"; others are left out.
        heads: of each layer.
        pictures: what the learner may choose from, all with the same number of tokens.
        grid: (rows, columns) of the patches.
        label: the widget's name for a screen reader.
        traits: other traits, such as `picture`, `query`, `off`, `mask`, `caption`.

    Attributes:
        picture: index of the picture shown.
        query: (row, column) of the locked query; empty without one.
        chosen: (layer, head) whose products are shown.
        key: (row, column) of the key whose products are shown; empty for the one with the largest weight.
        off: (layer, head) of every head that is knocked out: its part of the joined context is zero.
        mask: who may attend to whom, in every layer: one of `MASKS`.
        limit: the weight at which the colours end.

    Raises:
        ValueError: if the parameters do not fit together, or a trait names what is not there.
    """

    _module = "head_grid"

    parameters = traitlets.Dict().tag(sync=True)
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
        parameters: Mapping[str, Any],
        heads: int,
        pictures: Sequence[TokenPicture],
        grid: Sequence[int],
        label: str = "Head grid: every head of a transformer for one query",
        **traits: Any,
    ) -> None:
        arrays = {name: as_array(values) for name, values in parameters.items()}
        rows, columns = (int(size) for size in grid)
        layers = _check_network(arrays, heads)
        _check_pictures(pictures, rows * columns + 1, arrays["head.weight"].shape[1])
        query, key = (_place(name, traits.pop(name, ()), rows, columns) for name in ("query", "key"))
        known = {(layer, head) for layer in range(1, layers + 1) for head in range(1, heads + 1)}
        chosen = _head("chosen", traits.pop("chosen", (1, 1)), known, layers, heads)
        off = [_head("off", one, known, layers, heads) for one in traits.pop("off", ())]
        if traits.get("picture", 0) not in range(len(pictures)):
            raise ValueError(f"picture={traits['picture']!r} is not there; there are {len(pictures)}, counted from 0.")
        if traits.get("mask", "none") not in MASKS:
            raise ValueError(f"There is no mask {traits['mask']!r}; there are: {', '.join(map(repr, MASKS))}.")
        super().__init__(
            parameters={name: encode(arrays[name], "float32") for name in _names(layers)},
            pictures=[_encode_picture(picture) for picture in pictures],
            layers=layers,
            heads=heads,
            grid=[rows, columns],
            label=label,
            query=query,
            key=key,
            chosen=chosen,
            off=off,
            **traits,
        )


def _names(layers: int) -> list[str]:
    parts = [f"blocks.{layer}.{part}" for layer in range(layers) for part in _LAYER]
    return [f"{part}.{kind}" for part in (*parts, "norm", "head") for kind in _KINDS]


def _check_network(arrays: Mapping[str, np.ndarray], heads: int) -> int:
    """How many layers there are; refuses a network that lacks a part."""
    layers = sum(f"blocks.{layer}.attention.query.weight" in arrays for layer in range(len(arrays)))
    missing = [name for name in _names(max(layers, 1)) if name not in arrays]
    if missing:
        raise ValueError(
            f"HeadGrid needs the parameters of a whole VisionTransformer; {missing[0]!r} is missing. "
            "`VisionTransformer(...).state_dict()` has them."
        )
    width = arrays["head.weight"].shape[1]
    if heads < 1 or width % heads:
        raise ValueError(f"A width of {width} cannot be shared equally among {heads} heads.")
    return layers


def _check_pictures(pictures: Sequence[TokenPicture], length: int, width: int) -> None:
    if not pictures:
        raise ValueError("HeadGrid needs at least one TokenPicture; none was given.")
    for picture in pictures:
        if picture.tokens.shape != (length, width):
            raise ValueError(
                f"{picture.label!r} has tokens {picture.tokens.shape}; for this grid and network needed are "
                f"({length}, {width}): the class token and the patches."
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


def _head(name: str, head: Iterable[Any], known: set[tuple[int, int]], layers: int, heads: int) -> list[int]:
    found = tuple(int(i) for i in head)
    if found not in known:
        raise ValueError(
            f"{name} names {found}, which is no (layer, head) of {layers} layers with {heads} heads, counted from 1."
        )
    return list(found)


def _encode_picture(picture: TokenPicture) -> dict[str, Any]:
    return {
        "label": picture.label,
        "image": encode(picture.image, "uint8"),
        "tokens": encode(picture.tokens, "float32"),
        "answer": int(picture.answer),
        "code": picture.code,
    }
