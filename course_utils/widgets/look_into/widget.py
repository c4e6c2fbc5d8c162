"""`look`: the masks of any network, over the picture, with the answer beside them."""

from collections.abc import Mapping
from typing import Any

import traitlets

from ..base import CourseWidget, cell, encode_fields


class Look(CourseWidget):
    """Every mask of a network: weights as maps for one query, channel gates as cells, spatial gates as maps.

    Args:
        layers: the masks in the order in which they were made: `name`; `kind`, "weights", "channels", "map", or "" for
            one that cannot be drawn; `words`, its shape in words; `why`, why it cannot be drawn, or empty; `editable`,
            whether it can be changed; of weights also `heads`, `grid` and `key_grid`, (rows, columns), `queries`, for
            each patch of the grid its row of the weights, -1 if it has none, `tokens`, the row of each other token by
            its name, and `cells`, (windows, K), where each key lies in `key_grid`, -1 for none.
        pictures: `label`; `image`, (H, W) or (H, W, 3), uint8; `answer`, pairs of a class and its probability.
        masks: those sent at once, by "picture/layer"; the page asks for the others.
    """

    _module = "look_into"

    layers: traitlets.List = traitlets.List().tag(exact=("queries", "cells"))
    pictures: traitlets.List = traitlets.List()
    masks = traitlets.Dict().tag(exact=("high",))
    rollout = traitlets.Bool(False)
    uploads = traitlets.Bool(False)
    picture = traitlets.Int(0, min=0)  # index of the picture shown
    layer = traitlets.Int(0, min=0)  # index of the layer shown
    head = traitlets.Int(0, min=-2)  # index of the head shown; -1 for the average of all heads, -2 for rollout
    channel = traitlets.Int(0, min=0)  # index of the channel shown, in a layer of channel gates
    # the query shown while nobody points: the name of a token, or empty for the patch in the middle
    token = traitlets.Unicode("")
    query = cell()  # (row, column) of the pinned query in the grid of the layer shown; empty without one
    off: traitlets.List = traitlets.List()  # (layer, head) of every head that is switched off
    gates: traitlets.List = traitlets.List()  # (layer, channel, factor) of every gate that is multiplied by hand

    def __init__(self, **traits: Any) -> None:
        self._sent: dict[str, Any] = {}
        super().__init__(**traits)

    def keep(self, name: str, mask: Mapping[str, Any]) -> dict[str, Any]:
        """Remember a mask that the page asked for, so that `save_html` stores it too; returns it encoded."""
        self._sent[name] = encode_fields(mask, exact=("high",))
        return self._sent[name]

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """The widget's state; the masks that were opened later are part of it."""
        state = super().get_state(key, drop_defaults)
        if "masks" in state:
            state["masks"] = {**state["masks"], **self._sent}
        return state
