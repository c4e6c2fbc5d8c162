"""`cbam-steps`: CBAM one step after another; its order swapped, its pools off, and what the network answers."""

from typing import Any

import traitlets

from ..base import CourseWidget, cell
from ..limits import check_place

ORDERS = ("channel first", "spatial first")


class CBAMSteps(CourseWidget):
    """CBAM's steps on pictures; the page runs the whole network, so every switch is answered at once.

    Args:
        stages: the network up to its head, in order: convolution, batch norm, ReLU, CBAM, max-pooling. Of each the
            `name` of the CBAM block and its layers, each with `weight` and `bias`: `convolution`, (C, before, 3, 3),
            with padding 1 and its batch norm folded in; `reduce`, (C // r, C); `expand`, (C, C // r); `spatial`,
            (1, 2, k, k), for [max, mean], with its batch norm; `pool`, the side of the max-pooling after the block.
        head: `weight`, (K, C), and `bias`, (K,), of the layer on the last stage's channel means.
        pictures: what the learner may choose from, all of one shape: `label`, what it is, in words; `image`, (H, W, 3)
            or (H, W), uint8: the network is given these bytes divided by 255; `code`, a line that makes it, as `image`,
            a batch of one.
        code: the lines that make `network`.
    """

    _module = "cbam_steps"

    label = traitlets.Unicode("CBAM step by step: its channel gates, its spatial mask, and the network's answer")
    stages: traitlets.List = traitlets.List().tag(exact=True)
    head = traitlets.Dict().tag(exact=True)
    pictures: traitlets.List = traitlets.List()
    picture = traitlets.Int(0).tag(of="pictures")  # index of the picture shown
    stage = traitlets.Int(0).tag(of="stages")  # index of the stage shown; the switches act on its block alone
    step = traitlets.Int(5, min=1, max=5)  # how many of the five steps are shown
    order = traitlets.Enum(ORDERS, ORDERS[0])  # "channel first", as CBAM has it, or "spatial first"
    channel_mean = traitlets.Bool(True)  # channel_mean and channel_max: which pools the channel part uses
    channel_max = traitlets.Bool(True)
    spatial_max = traitlets.Bool(True)  # spatial_max and spatial_mean: which pools the spatial part uses
    spatial_mean = traitlets.Bool(True)
    query = cell()  # (row, column) of the place that is pinned or shown at first, from 0; empty while none is

    def __init__(self, **traits: Any) -> None:
        sizes = [traits["pictures"][0]["image"].shape[:2]]  # of the map that each stage's block is given
        for each in traits["stages"]:
            sizes.append((sizes[-1][0] // each["pool"], sizes[-1][1] // each["pool"]))
        check_place(traits.get("query", ()), sizes[traits.get("stage", 0)], "(row, column) of the stage's map")
        super().__init__(**traits)
