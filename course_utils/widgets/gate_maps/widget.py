"""`gate-maps`: where several networks look in one picture, epoch by epoch, held against the true place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, as_array, cell, image_bytes


@dataclass(frozen=True, eq=False)
class MapSeries:
    """The maps of one network, at several epochs and stages.

    Args:
        title: what the learner reads above them: "gates by sigmoid".
        maps: for each stage, finer first, an array (epochs, images, h, w), no value below zero.
        answers: for each epoch and image what the network answers, in words; may be empty.
    """

    title: str
    maps: Sequence[Any]
    answers: Sequence[Sequence[str]] = ()


class GateMaps(CourseWidget):
    """Maps of several networks side by side: over the picture and alone, with their share and overlap.

    Args:
        images: (N, 3, H, W) or (N, H, W, 3); bytes, or numbers in [0, 1].
        places: (N, H, W), True where the answer stands.
        series: the networks, in the order of the panels.
        epochs: after which epochs the maps were taken.
        stages: the names of the stages, finer first: ("pool3", "pool4").
        names: a name for each image.

    Raises:
        ValueError: if shapes do not fit together, or a value is negative or not finite.
    """

    _module = "gate_maps"

    label = traitlets.Unicode("Gate maps: where each network looks, and how much of it is the answer's place")
    pictures = traitlets.Dict()
    places = traitlets.Dict()
    series: traitlets.List = traitlets.List()
    epochs = traitlets.List(traitlets.Int())
    stages = traitlets.List(traitlets.Unicode())
    names = traitlets.List(traitlets.Unicode())
    image = traitlets.Int(0, min=0).tag(of="pictures")  # image, stage, epoch: the index of what is shown
    stage = traitlets.Int(0, min=0).tag(of="stages")
    epoch = traitlets.Int(0, min=0).tag(of="epochs")
    network = traitlets.Int(0, min=0).tag(of="series")  # index of the network that stands large
    threshold = traitlets.Float(0.5, min=0, max=1)  # what counts as "here", from a map's least value to its largest
    opacity = traitlets.Float(0.5, min=0, max=1)  # of the map over the picture
    smooth = traitlets.Bool(True)  # interpolate the map's values, else show its cells
    # let each map use its whole colour scale; by default a network has one range, from 0 to the largest value of its
    # stage in all epochs and images, so that epochs can be compared
    own_range = traitlets.Bool(False)
    query = cell()  # (row, column) of the pinned cell of the map, counted from 0

    def __init__(
        self,
        images: Any,
        places: Any,
        series: Sequence[MapSeries],
        epochs: Sequence[int],
        stages: Sequence[str],
        names: Sequence[str] | None = None,
        **traits: Any,
    ) -> None:
        pictures = np.stack([image_bytes(image) for image in as_array(images)])
        if pictures.ndim == 3:  # grey
            pictures = pictures[..., None].repeat(3, axis=3)
        truth = as_array(places).astype(bool)
        if truth.shape != pictures.shape[:3]:
            raise ValueError(f"places has shape {truth.shape}, but the images need {pictures.shape[:3]}.")
        named = [f"picture {i}" for i in range(len(pictures))] if names is None else [str(name) for name in names]
        if len(named) != len(pictures) or not series:
            raise ValueError(
                f"There are {len(pictures)} images, {len(named)} names and {len(series)} networks; give one name for "
                "each image, and at least one network."
            )
        super().__init__(
            pictures=pictures,
            places=truth.astype(np.uint8),
            series=[_plain(one, epochs, stages, len(pictures)) for one in series],
            epochs=[int(epoch) for epoch in epochs],
            stages=stages,
            names=named,
            **traits,
        )


def _plain(one: MapSeries, epochs: Sequence[int], stages: Sequence[str], many: int) -> dict[str, Any]:
    maps = [as_array(stage).astype(np.float32) for stage in one.maps]
    wanted = (len(epochs), many)
    if len(maps) != len(stages) or any(map_.ndim != 4 or map_.shape[:2] != wanted or 0 in map_.shape for map_ in maps):
        raise ValueError(
            f"{one.title!r} has maps of shapes {[map_.shape for map_ in maps]}; it needs {len(stages)}, one for each "
            f"stage, of shape ({len(epochs)}, {many}, h, w): epochs, images, rows, columns."
        )
    if any(map_.min() < 0 for map_ in maps):
        raise ValueError(f"{one.title!r} has a value below zero; a map of weights has none.")
    if one.answers and [len(row) for row in one.answers] != [many] * len(epochs):
        raise ValueError(f"{one.title!r} needs an answer for each of {len(epochs)} epochs and {many} images, or none.")
    answers = [[str(answer) for answer in row] for row in one.answers]
    return {"title": one.title, "maps": maps, "answers": answers}
