"""One image, one or many attention maps over it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, as_array, cell, image_bytes
from ..limits import check_place

TABLES = ("viridis", "magma", "cividis", "RdBu")
"""Perceptually even colour tables for weights, and RdBu for signed values."""


class AttentionMap(CourseWidget):
    """Lay attention maps over an image; see each map beside it, on a scale, and read every value.

    Args:
        image: (H, W), (H, W, 3), (3, H, W) or (1, H, W); bytes, or numbers in [0, 1].
        masks: one map (h, w) or many (K, h, w); any finite numbers. Negative values make it a signed map.
        labels: a name for each map; by default "map 0", "map 1" and so on.
        place: the true place, (H, W) of the image's size or (h, w) of the map's, True where the answer lies; gives
            for each map the share of its mass on it.
        chosen: which map is shown first.
        opacity: of the map over the image, from 0 to 1.
        table: "viridis", "magma", "cividis" or "RdBu"; by default magma, and RdBu where a value is negative.
        smooth: interpolate the map's values, else show its cells.
        own_range: let each map use the whole scale, from its least to its largest value; by default one range, from
            zero, serves all maps, so that they can be compared.
        query: (row, column) of a cell to show at the start, counted from 0.
        code: the lines that make `image` and `masks`.
        traits: those below and those of `CourseWidget`.

    Raises:
        ValueError: for a shape or a value that cannot be shown; the message says what is needed.

    Attributes:
        shares: for each map, the share of its mass on the true place; empty without a place or for signed maps.
    """

    _module = "attention_map"

    picture = traitlets.Dict()
    maps = traitlets.Dict()
    names = traitlets.List(traitlets.Unicode())
    place = traitlets.Dict()
    shares = traitlets.List(traitlets.Float())
    chosen = traitlets.Int(0).tag(of="names")
    opacity = traitlets.Float(0.5, min=0, max=1)
    table = traitlets.Enum(TABLES, "magma")
    smooth = traitlets.Bool(False)
    own_range = traitlets.Bool(False)
    query = cell()

    def __init__(
        self, image: Any, masks: Any, labels: Sequence[str] | None = None, *, place: Any = None, **traits: Any
    ) -> None:
        picture, maps = image_bytes(image), _maps(masks)
        many = len(maps)
        if labels is None:
            labels = [f"map {i}" for i in range(many)] if many > 1 else ["map"]
        if len(labels) != many:
            raise ValueError(f"There are {many} maps but {len(labels)} labels; give one label for each map.")
        if place is not None:
            true, sizes = as_array(place).astype(bool), (picture.shape[:2], maps.shape[1:])
            if true.shape not in sizes:
                raise ValueError(f"place has shape {true.shape}; it must have the size of image or map, {sizes}.")
            traits["place"] = true.astype(np.uint8)
            traits["shares"] = [share_on_place(one, true) for one in maps] if maps.min() >= 0 else []
        check_place(traits.get("query", ()), maps.shape[1:], "(row, column) of the map")
        traits.setdefault("table", "RdBu" if maps.min() < 0 else "magma")
        names = [str(name) for name in labels]
        traits.setdefault("label", f"Attention over an image: {', '.join(names[:4])}{', ...' if many > 4 else ''}")
        super().__init__(picture=picture, maps=maps, names=names, **traits)


def _maps(masks: Any) -> np.ndarray:
    maps = as_array(masks).astype(np.float64)
    if maps.ndim == 2:
        maps = maps[None]
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(
            f"masks has shape {as_array(masks).shape}; give one map (h, w) or many (K, h, w), none of them empty."
        )
    return maps


def share_on_place(mask: Any, place: Any) -> float:
    """The share of a map's mass that lies on the true place.

    Each cell of the map counts by the part of its area that the place covers.

    Args:
        mask: (h, w), no value below zero.
        place: (H, W), True where the answer lies; any size.

    Returns:
        A number from 0 to 1; 0 for a map that is zero everywhere.
    """
    weights = as_array(mask).astype(np.float64)  # (h, w)
    true = as_array(place).astype(np.float64)  # (H, W)
    covered = _overlap(weights.shape[0], true.shape[0]) @ true @ _overlap(weights.shape[1], true.shape[1]).T  # (h, w)
    mass = weights.sum()
    return float((weights * covered).sum() / mass) if mass > 0 else 0.0


def _overlap(cells: int, pixels: int) -> np.ndarray:
    """The part of each cell that each pixel covers, (cells, pixels); rows sum to 1."""
    ends = np.arange(cells + 1)[:, None] * pixels / cells
    marks = np.arange(pixels)[None]
    covered = np.minimum(ends[1:], marks + 1) - np.maximum(ends[:-1], marks)
    return np.clip(covered, 0, None) * cells / pixels
