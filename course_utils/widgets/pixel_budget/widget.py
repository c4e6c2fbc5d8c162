"""`pixel-budget`: the same number of pixels, chosen in three ways, and what a network reads in each."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode_fields
from ..limits import check_indices


class PixelBudget(CourseWidget):
    """A picture, and three masks with the same number of ones: random, fixed, and made from this picture.

    The network runs in the page.

    Args:
        pictures: (n, H, W), uint8: what the learner may choose from.
        labels: the class of each.
        scores: how much each pixel is wanted by the masks "random" and "fixed", (H, W) each; the largest are kept. The
            third mask keeps the brightest pixels of the picture itself.
        graph, weights: of a network that reads (1, H, W) in [0, 1], as `models.page_graph` gives them.
        label, caption, code: as in `CourseWidget`.
        traits: the settings below.

    Attributes:
        picture: index of the picture shown.
        budget: the share of the pixels that is kept, from 0.01 to 0.6.
        drawing: whether the learner's drawing stands in place of the picture.
        strokes: the drawing: for each stroke the places [x, y] that it passes, in shares of width and height.

    Raises:
        ValueError: if there is no such picture.
    """

    _module = "pixel_budget"

    pictures = traitlets.Dict().tag(sync=True)
    labels = traitlets.List(traitlets.Int()).tag(sync=True)
    scores = traitlets.Dict().tag(sync=True)
    graph = traitlets.Dict().tag(sync=True)
    weights = traitlets.Unicode("").tag(sync=True)
    picture = traitlets.Int(0).tag(sync=True, echo_update=False)
    budget = traitlets.Float(0.1, min=0.01, max=0.6).tag(sync=True, echo_update=False)
    drawing = traitlets.Bool(False).tag(sync=True, echo_update=False)
    strokes: traitlets.List = traitlets.List().tag(sync=True, echo_update=False)

    def __init__(
        self,
        pictures: np.ndarray,
        labels: Sequence[int],
        scores: dict[str, np.ndarray],
        graph: dict[str, Any],
        weights: str,
        *,
        label: str = "Pixel budget: as many pixels, chosen in three ways",
        **traits: Any,
    ) -> None:
        check_indices(traits, {"picture": len(pictures)})
        fields = encode_fields({"pictures": pictures, "scores": scores}, exact=tuple(scores))
        super().__init__(labels=list(labels), graph=graph, weights=weights, label=label, **fields, **traits)
